//! Test bed of torture and outputs: a simulated site, and the real program collecting from it into a
//! folder of its own.

use std::error::Error;
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

use crate::error::Result;
use crate::tally::{self, Tally};

/// The file that the program appends to; rotated ones begin with the same name.
pub(crate) const OUTPUT: &str = "flattened.json";

/// A run that takes longer hangs.
const RUN_TIMEOUT: Duration = Duration::from_mins(5);

/// So many runs in a row may find something new before they are taken to do so for ever.
const RUNS_MAX: u64 = 200;

/// A site, and the folder in which its records are collected.
pub(crate) struct TestSite {
    pub(crate) sim: Sim,
    /// Removes the folder, unless it is kept.
    guard: Option<TempDir>,
    folder: PathBuf,
    program: PathBuf,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// With 0, and so many new records.
    Done(u64),
    /// With this exit code.
    Failed(i32),
    /// By this signal.
    Killed(i32),
}

impl TestSite {
    /// A site with an empty folder.
    pub(crate) fn start(program: &Path, config: SimConfig) -> Result<Self> {
        let guard = tempfile::Builder::new().prefix("torture-").tempdir()?;
        let site = Self {
            sim: Sim::start(config)?,
            folder: guard.path().canonicalize()?,
            guard: Some(guard),
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

    /// A site without faults, with twins, and with hostile texts in this share of its records.
    pub(crate) fn with_records(program: &Path, records: usize, hostile: f64) -> Result<Self> {
        let config = SimConfig {
            records,
            twins: 0.05,
            hostile,
            ..SimConfig::default()
        };
        Self::start(program, config)
    }

    fn write_token(&self) -> Result {
        let token = self.folder.join("token");
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
            self.folder.join("token").display().to_string(),
        );
        fs::write(self.folder.join("config.toml"), text)?;
        Ok(())
    }

    /// The folder with everything in it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The disk that is filled, failed and cut off: output and state are on it, and nothing else.
    pub(crate) fn disk(&self) -> PathBuf {
        self.folder.join("disk")
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
            .env("HOME", &self.folder)
            .current_dir(&self.folder);
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
            .arg(self.folder.join("config.toml"))
            .arg("--state-dir")
            .arg(self.state())
            .current_dir(&self.folder)
            .env_clear()
            .env("HOME", &self.folder)
            .stdin(Stdio::null())
            .stdout(File::create(self.folder.join("stdout"))?)
            .stderr(File::create(self.folder.join("stderr"))?);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        Ok(command)
    }

    /// What the last run wrote to standard error.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }

    /// Waits for a run to end by itself.
    pub(crate) fn finish(&self, mut child: Child) -> Result<Exit> {
        let deadline = Instant::now() + RUN_TIMEOUT;
        let mut nap = Duration::from_millis(1);
        loop {
            if let Some(status) = child.try_wait()? {
                return self.exit(status);
            }
            if Instant::now() > deadline {
                child.kill()?;
                child.wait()?;
                return Err(self.failure("a run does not end"));
            }
            sleep(nap);
            nap = (nap * 2).min(Duration::from_millis(10));
        }
    }

    /// What an exit status means.
    pub(crate) fn exit(&self, status: ExitStatus) -> Result<Exit> {
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(Exit::Done(self.new_records()?)),
            (Some(code), _) => Ok(Exit::Failed(code)),
            (None, signal) => Ok(Exit::Killed(signal.unwrap_or_default())),
        }
    }

    fn new_records(&self) -> Result<u64> {
        let text = fs::read_to_string(self.folder.join("stdout"))?;
        let summary: serde_json::Value = serde_json::from_str(&text)?;
        summary["records"]
            .as_u64()
            .ok_or_else(|| format!("a summary without records: {text}").into())
    }

    /// One whole run.
    pub(crate) fn run(&self) -> Result<Exit> {
        let child = self.fetch()?.spawn()?;
        self.finish(child)
    }

    /// A run that has to succeed. Gives the number of new records.
    pub(crate) fn run_successfully(&self) -> Result<u64> {
        match self.run()? {
            Exit::Done(records) => Ok(records),
            exit => Err(self.failure(&format!("a run was {exit:?}"))),
        }
    }

    /// A run that has to fail with this exit code, because of `cause`.
    pub(crate) fn run_failing(&self, code: i32, cause: &str) -> Result {
        match self.run()? {
            Exit::Failed(found) if found == code => Ok(()),
            exit => Err(self.failure(&format!("{cause}, and a run was {exit:?}"))),
        }
    }

    /// Lets the program finish without faults: runs until one finds nothing new and nothing has
    /// arrived meanwhile. Gives the number of runs.
    pub(crate) fn settle(&self) -> Result<u64> {
        self.sim.set_faults(FaultRates::default());
        for runs in 1..=RUNS_MAX {
            let before = self.sim.truth().len();
            match self.run()? {
                Exit::Done(0) if self.sim.truth().len() == before => return Ok(runs),
                Exit::Done(_) => {}
                exit => return Err(self.failure(&format!("a run to the end was {exit:?}"))),
            }
        }
        Err(self.failure("every run finds something new"))
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
                .push(format!("all of it is in {}", self.folder.display()));
        }
        Ok(tally)
    }

    /// Keeps the folder for whoever looks for the cause.
    pub(crate) fn keep(&mut self) {
        if let Some(folder) = self.guard.take() {
            let _ = folder.keep();
        }
    }

    /// Fails unless these lines, which `place` holds, are the site's records. Keeps the folder when they
    /// differ.
    pub(crate) fn expect_lines(&mut self, place: &str, lines: &[u8]) -> Result {
        self.expect_lines_of(place, lines, |_| true)
    }

    /// The same for those of the site's records that are `wanted`.
    pub(crate) fn expect_lines_of(
        &mut self,
        place: &str,
        lines: &[u8],
        wanted: impl FnMut(&String) -> bool,
    ) -> Result {
        let copy = self.folder.join("lines");
        fs::write(&copy, lines)?;
        let tally = tally::compare(self.sim.truth().filter(wanted), [&copy])?;
        if tally.is_clean() {
            return Ok(());
        }
        self.keep();
        Err(format!(
            "{place} holds something else, see {}: {tally:?}",
            copy.display()
        )
        .into())
    }

    /// An error with what the last run wrote to standard error.
    pub(crate) fn failure(&self, what: &str) -> Box<dyn Error + Send + Sync> {
        format!("{what}; standard error: {}", self.stderr().trim()).into()
    }
}
