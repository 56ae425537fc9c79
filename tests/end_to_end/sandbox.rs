//! A directory with a home of its own, in which the program finds nothing but what a test put there.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::program::{RunOutput, binary, holds_secret};

/// Where secrets are put; everywhere else there must be none.
const SECRETS: &str = "secrets";

pub(crate) struct Sandbox(TempDir);

impl Sandbox {
    pub(crate) fn new() -> Self {
        let sandbox = Self(tempfile::tempdir().unwrap());
        for dir in ["home", "tmp", SECRETS] {
            fs::create_dir(sandbox.path(dir)).unwrap();
        }
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file with this content that only its owner can read.
    pub(crate) fn secret(&self, name: &str, content: &str) -> String {
        let name = format!("{SECRETS}/{name}");
        fs::write(self.path(&name), content).unwrap();
        self.set_mode(&name, 0o600);
        name
    }

    pub(crate) fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    /// The program, about to run here: it has no environment but its home, and no terminal.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args);
        self.confine(&mut command);
        command
    }

    /// Takes everything from the command but what is here.
    pub(crate) fn confine(&self, command: &mut Command) {
        command
            .env_clear()
            .env("HOME", self.path("home"))
            .env("XDG_CONFIG_HOME", self.path("home/config"))
            .env("XDG_STATE_HOME", self.path("home/state"))
            .env("TMPDIR", self.path("tmp"))
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    }

    pub(crate) fn run(&self, args: &[&str]) -> RunOutput {
        self.finish(self.command(args))
    }

    /// Runs it to its end and looks for secrets in all that it said and left behind.
    pub(crate) fn finish(&self, mut command: Command) -> RunOutput {
        let done = RunOutput::of(command.output().unwrap());
        self.assert_holds_no_secret();
        done
    }

    /// Looks into every file but those that hold the secrets.
    pub(crate) fn assert_holds_no_secret(&self) {
        for file in self.files() {
            if file.starts_with(self.path(SECRETS)) {
                continue;
            }
            let found = holds_secret(&fs::read(&file).unwrap());
            assert!(!found, "a secret in {}", file.display());
        }
    }

    /// The names of all files, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let name = |file: PathBuf| {
            let name = file.strip_prefix(self.0.path()).unwrap();
            name.to_str().unwrap().to_owned()
        };
        self.files().into_iter().map(name).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        collect(self.0.path(), &mut files);
        files.sort();
        files
    }
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            collect(&entry.path(), files);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
}
