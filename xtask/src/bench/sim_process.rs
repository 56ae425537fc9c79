//! Simulated site as a process of its own, and the folder in which a case is run.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use confluence_audit_sim::{API_TOKEN, EMAIL, SimConfig};
use tempfile::TempDir;

use super::programs::Programs;
use crate::error::Result;
use crate::process::KillOnDrop;

/// A site, and a folder to collect it in.
pub(crate) struct SimProcess {
    _sim: KillOnDrop,
    url: String,
    folder: TempDir,
}

impl SimProcess {
    pub(crate) fn start(programs: &Programs, flags: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut token = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(folder.path().join("token"))?;
        token.write_all(API_TOKEN.as_bytes())?;
        // curl reads the token from here, since anybody may read its arguments.
        fs::write(
            folder.path().join("curlrc"),
            format!("user = \"{EMAIL}:{API_TOKEN}\"\n"),
        )?;
        let mut sim = Command::new(&programs.sim)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = sim.stdout.take().ok_or("the site has no output")?;
        let mut site = Self {
            _sim: KillOnDrop(sim),
            url: String::new(),
            folder,
        };
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            if let Some(url) = line.strip_prefix("url ") {
                url.trim().clone_into(&mut site.url);
            }
            // The last line that it prints: it is ready.
            if line.starts_with("truth") {
                return Ok(site);
            }
        }
        Err("the site ended before it was ready".into())
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The list of records, for programs that are not ours.
    pub(crate) fn list(&self) -> String {
        let id = SimConfig::default().cloud_id;
        format!("{}/ex/confluence/{id}/wiki/rest/api/audit", self.url)
    }

    /// A command of ours for this site.
    pub(crate) fn ours(&self, programs: &Programs, args: &[&str]) -> Command {
        let mut command = Command::new(&programs.collector);
        command
            .args(args)
            .args(["--site-url", &self.url, "--api-url", &self.url])
            .args(["--email", EMAIL, "--api-token-file", "token"])
            .current_dir(self.folder())
            .env_clear()
            // As the services run it.
            .env("MALLOC_ARENA_MAX", "1")
            .env("HOME", self.folder());
        command
    }

    /// A script of the shell, run in the case's folder.
    pub(crate) fn script(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-euc", script]).current_dir(self.folder());
        command
    }

    /// Forgets what earlier runs left.
    pub(crate) fn clear(&self) -> Result {
        for entry in fs::read_dir(self.folder())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else if entry.file_name() != "token" && entry.file_name() != "curlrc" {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}
