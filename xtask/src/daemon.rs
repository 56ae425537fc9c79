//! Daemon under test: it reads many sites of one simulated service, and its metrics are sampled.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::spawn;
use std::time::Duration;

use confluence_audit_sim::{API_TOKEN, EMAIL, Sim, SimConfig};
use tempfile::TempDir;

use crate::error::Result;
use crate::process::KillOnDrop;

/// A running daemon, and the service that it reads from.
pub(crate) struct Daemon {
    process: KillOnDrop,
    pub(crate) sim: Sim,
    address: String,
    folder: TempDir,
}

/// Metrics of the daemon at one instant.
pub(crate) struct Sample {
    /// When each site's last run succeeded.
    pub(crate) successes: BTreeMap<String, f64>,
    pub(crate) requests: f64,
    pub(crate) records: f64,
    /// In KiB.
    pub(crate) resident: u64,
}

impl Daemon {
    /// Starts one for so many sites, with so much time between two runs of each.
    pub(crate) fn start(program: &Path, sites: usize, interval: Duration) -> Result<Self> {
        let sim = Sim::start(SimConfig {
            records: 20,
            any_cloud_id: true,
            ..SimConfig::default()
        })?;
        let folder = tempfile::tempdir()?;
        write_configuration(sites, interval, &sim, folder.path())?;
        let (process, address) = start(program, folder.path())?;
        Ok(Self {
            process,
            sim,
            address,
            folder,
        })
    }

    /// The file that it writes to.
    pub(crate) fn output(&self) -> PathBuf {
        self.folder.path().join(OUTPUT)
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn sample(&self) -> Result<Sample> {
        let text = get(&format!("{}/metrics", self.address))?;
        let mut sample = Sample {
            successes: BTreeMap::new(),
            requests: 0.0,
            records: 0.0,
            resident: resident(self.id())?,
        };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').ok_or("a line without a value")?;
            let value: f64 = value.parse()?;
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            match name.trim_start_matches("confluence_audit_") {
                "last_success_timestamp_seconds" => {
                    sample.successes.insert(labels.to_owned(), value);
                }
                "requests_total" => sample.requests += value,
                "records_total" => sample.records += value,
                _ => {}
            }
        }
        Ok(sample)
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn end(&mut self) -> Result<ExitStatus> {
        let id = self.id().to_string();
        Command::new("kill").arg(id).status()?;
        Ok(self.process.wait()?)
    }
}

const OUTPUT: &str = "out.ndjson";

fn write_configuration(sites: usize, interval: Duration, sim: &Sim, folder: &Path) -> Result {
    let token = folder.join("token");
    let mut options = fs::File::options();
    let file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&token);
    std::io::Write::write_all(&mut file?, API_TOKEN.as_bytes())?;
    let mut text = format!(
        "[state]\ndir = \"{}\"\n[collect]\ninterval = \"{}s\"\n\
         [[output]]\nkind = \"file\"\nformat = \"flat\"\npath = \"{}\"\n",
        folder.join("state").display(),
        interval.as_secs(),
        folder.join(OUTPUT).display()
    );
    for number in 0..sites {
        write!(
            text,
            "[[site]]\nname = \"site-{number}\"\ncloud_id = \"cloud-{number}\"\napi_url = \"{}\"\n\
             auth = {{ kind = \"api-token\", email = \"{EMAIL}\", token_file = \"{}\" }}\n",
            sim.url(),
            token.display()
        )?;
    }
    fs::write(folder.join("config.toml"), text)?;
    Ok(())
}

/// Starts the daemon; it prints where its metrics are.
fn start(program: &Path, folder: &Path) -> Result<(KillOnDrop, String)> {
    let daemon = Command::new(program)
        .arg("--config")
        .arg(folder.join("config.toml"))
        .args(["--listen", "127.0.0.1:0"])
        .env_clear()
        // As its service runs it.
        .env("MALLOC_ARENA_MAX", "1")
        .env("HOME", folder)
        .stderr(Stdio::piped())
        .spawn()?;
    let mut daemon = KillOnDrop(daemon);
    let stderr = daemon.stderr.take().ok_or("it has no standard error")?;
    let mut lines = BufReader::new(stderr).lines();
    for line in lines.by_ref() {
        let line = line?;
        if let Some((_, rest)) = line.split_once("status page is at ") {
            let address = rest.trim_end_matches('/').to_owned();
            // What it prints later: runs, and what is wrong.
            spawn(move || {
                for line in lines.map_while(std::io::Result::ok) {
                    if !line.contains("pass done") {
                        println!("  {line}");
                    }
                }
            });
            return Ok((daemon, address));
        }
        println!("  {line}");
    }
    Err("the daemon ended before it was ready".into())
}

fn get(url: &str) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(async { reqwest::get(url).await?.text().await })?)
}

/// The memory that a process has resident, in KiB.
fn resident(id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let size = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(size.ok_or("no VmRSS")?.parse()?)
}
