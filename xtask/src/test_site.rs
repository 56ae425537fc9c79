//! A simulated site, a folder of its own, and the real program collecting from the one into the
//! other.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use confluence_audit_sim::{API_TOKEN, EMAIL, FaultRates, Sim, SimConfig};
use tempfile::TempDir;

use crate::Result;
use crate::tally::{self, Tally};

/// The file that the program appends to; rotated ones begin with the same name.
pub(crate) const OUTPUT: &str = "flattened.json";

/// A run that takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(5);

/// So many passes in a row may find something before it is said that they never end.
const PASSES: u64 = 200;

/// A site, and where its records go.
pub(crate) struct Site {
    pub(crate) sim: Sim,
    folder: Option<TempDir>,
    at: PathBuf,
    program: PathBuf,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With 0, and so many new records.
    Done(u64),
    /// With this exit code.
    Failed(i32),
    /// By this signal.
    Killed(i32),
}

impl Site {
    /// A site with an empty folder.
    pub(crate) fn start(program: &Path, config: SimConfig) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("torture-").tempdir()?;
        let site = Self {
            sim: Sim::start(config)?,
            at: folder.path().canonicalize()?,
            folder: Some(folder),
            program: program.to_owned(),
        };
        for dir in [site.out(), site.state()] {
            fs::create_dir_all(dir)?;
        }
        site.write_token()?;
        let path = site.output().display().to_string();
        site.set_outputs(&format!("[[output]]\nkind = \"file\"\npath = {path:?}\n"))?;
        Ok(site)
    }

    fn write_token(&self) -> Result {
        let token = self.at.join("token");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&token)?;
        file.write_all(API_TOKEN.as_bytes())?;
        Ok(())
    }

    /// Has records go there from the next run on.
    pub(crate) fn set_outputs(&self, outputs: &str) -> Result {
        // Waits are short, for the faults are many.
        let text = format!(
            "[collect]\nretry_base = \"5ms\"\nretry_budget = \"30s\"\n\n\
             [[site]]\nname = \"tortured\"\ncloud_id = {:?}\napi_url = {:?}\n\
             auth = {{ kind = \"api-token\", email = {EMAIL:?}, token_file = {:?} }}\n\n\
             {outputs}",
            self.sim.cloud_id(),
            self.sim.url(),
            self.at.join("token").display().to_string(),
        );
        fs::write(self.at.join("config.toml"), text)?;
        Ok(())
    }

    /// The folder with everything in it.
    pub(crate) fn at(&self) -> &Path {
        &self.at
    }

    /// The disk that is filled, failed and cut off: output and state are on it, and nothing else.
    pub(crate) fn disk(&self) -> PathBuf {
        self.at.join("disk")
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.disk().join("out")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.disk().join("state")
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.out().join(OUTPUT)
    }

    /// The program, about to run here.
    pub(crate) fn program(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("HOME", &self.at)
            .current_dir(&self.at);
        command
    }

    /// The program, ready to fetch.
    pub(crate) fn fetch(&self) -> Result<Command> {
        self.fetch_under(Command::new(&self.program))
    }

    /// The program as the argument of another one.
    pub(crate) fn fetch_within(&self, mut wrapper: Command) -> Result<Command> {
        wrapper.arg(&self.program);
        self.fetch_under(wrapper)
    }

    fn fetch_under(&self, mut command: Command) -> Result<Command> {
        command
            .args(["fetch", "--summary", "json", "--config"])
            .arg(self.at.join("config.toml"))
            .arg("--state-dir")
            .arg(self.state())
            .current_dir(&self.at)
            .env_clear()
            .env("HOME", &self.at)
            .stdin(Stdio::null())
            .stdout(File::create(self.at.join("stdout"))?)
            .stderr(File::create(self.at.join("stderr"))?);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        Ok(command)
    }

    /// What the last run said.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.at.join("stderr")).unwrap_or_default()
    }

    /// Waits for a run to end by itself.
    pub(crate) fn finish(&self, mut child: Child) -> Result<End> {
        let deadline = Instant::now() + PATIENCE;
        let mut nap = Duration::from_millis(1);
        loop {
            if let Some(status) = child.try_wait()? {
                return self.end(status);
            }
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                return Err(self.trouble("a run does not end").into());
            }
            sleep(nap);
            nap = (nap * 2).min(Duration::from_millis(10));
        }
    }

    /// What an exit status means.
    pub(crate) fn end(&self, status: ExitStatus) -> Result<End> {
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(End::Done(self.new_records()?)),
            (Some(code), _) => Ok(End::Failed(code)),
            (None, signal) => Ok(End::Killed(signal.unwrap_or_default())),
        }
    }

    fn new_records(&self) -> Result<u64> {
        let text = fs::read_to_string(self.at.join("stdout"))?;
        let summary: serde_json::Value = serde_json::from_str(&text)?;
        summary["records"]
            .as_u64()
            .ok_or_else(|| format!("a summary without records: {text}").into())
    }

    /// One whole run.
    pub(crate) fn run(&self) -> Result<End> {
        let child = self.fetch()?.spawn()?;
        self.finish(child)
    }

    /// Lets the program finish without faults: runs until one finds nothing new and nothing has
    /// arrived meanwhile. Gives the number of runs.
    pub(crate) fn settle(&self) -> Result<u64> {
        self.sim.set_faults(FaultRates::default());
        for runs in 1..=PASSES {
            let before = self.sim.truth().len();
            match self.run()? {
                End::Done(0) if self.sim.truth().len() == before => return Ok(runs),
                End::Done(_) => {}
                end => {
                    return Err(self
                        .trouble(&format!("a run to the end was {end:?}"))
                        .into());
                }
            }
        }
        Err(self.trouble("the passes never become quiet").into())
    }

    /// All output files: the current one and the rotated ones.
    pub(crate) fn outputs(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.out())? {
            files.push(entry?.path());
        }
        files.sort();
        Ok(files)
    }

    /// The output against the truth. Keeps the folder when they differ.
    pub(crate) fn tally(&mut self) -> Result<Tally> {
        let mut tally = tally::compare(self.sim.truth(), self.outputs()?)?;
        if !tally.is_clean() {
            self.keep();
            tally
                .examples
                .push(format!("all of it is in {}", self.at.display()));
        }
        Ok(tally)
    }

    /// Keeps the folder for whoever looks for the cause.
    pub(crate) fn keep(&mut self) {
        if let Some(folder) = self.folder.take() {
            let _ = folder.keep();
        }
    }

    /// A message with what the last run said.
    pub(crate) fn trouble(&self, what: &str) -> String {
        format!("{what}; it said: {}", self.stderr().trim())
    }
}
