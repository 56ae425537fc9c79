//! The simulated site that a case reads from, as a process of its own, and the folder in which the
//! case is run.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use confluence_audit_sim::{API_TOKEN, EMAIL, SimConfig};
use tempfile::TempDir;

use super::Programs;
use crate::error::Result;

/// A site, and a place to collect it in.
pub(crate) struct Site {
    sim: Child,
    url: String,
    place: TempDir,
}

impl Site {
    pub(crate) fn start(programs: &Programs, flags: &[&str]) -> Result<Self> {
        let place = tempfile::tempdir()?;
        let mut token = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(place.path().join("token"))?;
        token.write_all(API_TOKEN.as_bytes())?;
        // What curl is told on its standard input would be in its arguments otherwise.
        fs::write(
            place.path().join("curlrc"),
            format!("user = \"{EMAIL}:{API_TOKEN}\"\n"),
        )?;
        let mut sim = Command::new(&programs.sim)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let said = BufReader::new(sim.stdout.take().ok_or("the site says nothing")?);
        let mut site = Self {
            sim,
            url: String::new(),
            place,
        };
        for line in said.lines() {
            let line = line?;
            if let Some(url) = line.strip_prefix("url ") {
                url.trim().clone_into(&mut site.url);
            }
            // The last of what it says: it is ready.
            if line.starts_with("truth") {
                return Ok(site);
            }
        }
        Err("the site ended before it was ready".into())
    }

    pub(crate) fn place(&self) -> &Path {
        self.place.path()
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
            .current_dir(self.place())
            .env_clear()
            // As the services run it.
            .env("MALLOC_ARENA_MAX", "1")
            .env("HOME", self.place());
        command
    }

    /// A script of the shell, run in the case's folder.
    pub(crate) fn script(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-euc", script]).current_dir(self.place());
        command
    }

    /// Forgets what earlier runs left.
    pub(crate) fn clear(&self) -> Result {
        for entry in fs::read_dir(self.place())? {
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

impl Drop for Site {
    fn drop(&mut self) {
        // Nothing is lost with it, and nobody is left to tell.
        let _ = self.sim.kill();
        let _ = self.sim.wait();
    }
}
