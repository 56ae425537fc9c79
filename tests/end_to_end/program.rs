//! The program under test: where it is, and what a run of it came to.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{LazyLock, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use confluence_audit_sim::EMAIL;

/// Whether there is a secret in it: each begins with the same word, also as HTTP's Basic scheme would send it.
pub(crate) fn holds_secret(bytes: &[u8]) -> bool {
    static WORDS: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
        let basic = STANDARD.encode(format!("{EMAIL}:c"));
        [b"canary".to_vec(), basic.into_bytes()]
    });
    let mut words = WORDS.iter();
    words.any(|word| memchr::memmem::find(bytes, word).is_some())
}

/// `confluence-audit`.
pub(crate) fn binary() -> PathBuf {
    program("confluence-audit")
}

/// The program of this name. All are built once, as this test was.
pub(crate) fn program(name: &str) -> PathBuf {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    let sandbox = PLACE.get_or_init(|| {
        // The test is TARGET/PROFILE/deps/end_to_end-HASH.
        let test = std::env::current_exe().unwrap();
        let profile_dir = test.ancestors().nth(2).unwrap();
        let profile = match profile_dir.file_name().unwrap().to_str().unwrap() {
            "debug" => "dev",
            other => other,
        };
        let packages = [
            "confluence-audit-cli",
            "confluence-audit-daemon",
            "confluence-audit-oauth-setup",
        ];
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked"])
            .args(packages.iter().flat_map(|package| ["--package", package]))
            .args(["--profile", profile, "--target-dir"])
            .arg(profile_dir.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&built.stderr);
        assert!(
            built.status.success(),
            "the programs could not be built: {errors}"
        );
        profile_dir.to_owned()
    });
    sandbox.join(name)
}

/// What a run came to. There is none whose standard output or error holds a secret.
#[derive(Debug)]
pub(crate) struct RunOutput {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl RunOutput {
    pub(crate) fn of(output: Output) -> Self {
        let done = Self {
            code: output.status.code(),
            signal: output.status.signal(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!holds_secret(done.stdout.as_bytes()), "a secret in\n{done}");
        assert!(!holds_secret(done.stderr.as_bytes()), "a secret in\n{done}");
        done
    }

    /// Asserts the exit code, and says why it is another one.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Asserts that all went well and there was nothing to say about it.
    #[track_caller]
    pub(crate) fn expect_quiet_success(self) -> Self {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self}");
        self
    }
}

impl std::fmt::Display for RunOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => writeln!(f, "exit code {code}")?,
            (None, signal) => writeln!(f, "signal {signal:?}")?,
        }
        write!(f, "-- stdout\n{}-- stderr\n{}", self.stdout, self.stderr)
    }
}
