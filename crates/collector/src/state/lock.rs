//! The state directory's lock: one collector at a time, from a run's first read to its last
//! confirmation.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::fs::{self, LockFile, OpenError, network_file_system, unusable};
use crate::{Error, ErrorKind, Result};

/// The state directory, held by this process alone.
///
/// The kernel lets go of it when the process ends, however it ends; a file left behind holds
/// nobody up.
#[derive(Debug)]
pub struct Lock {
    // Never read again: it is open, and thereby locked, for as long as this value lives.
    _file: File,
    dir: PathBuf,
}

impl Lock {
    /// Takes the state directory `dir`, creating it for its owner alone when it is missing.
    ///
    /// Does not wait.
    ///
    /// # Errors
    ///
    /// [`Locked`](ErrorKind::Locked) when another process holds it, naming that process: let it
    /// finish. [`State`](ErrorKind::State) when the directory is on a network file system, or the
    /// lock is not a plain file: choose another directory. [`Io`](ErrorKind::Io) when it cannot be
    /// created or opened.
    pub fn acquire(dir: &Path) -> Result<Self> {
        Self::acquire_on(dir, network_file_system)
    }

    /// `network` says which network file system a path is on, so that a test can be on one.
    fn acquire_on(
        dir: &Path,
        network: fn(&Path) -> io::Result<Option<&'static str>>,
    ) -> Result<Self> {
        refuse_network(dir, network)?;
        if !dir.exists() {
            create(dir).map_err(|error| unusable(dir, error))?;
        }
        let path = dir.join("lock");
        match fs::try_lock(&path).map_err(|error| refused(&path, error))? {
            LockFile::Held(mut file) => Err(held(dir, &mut file)),
            LockFile::Locked(mut file) => {
                write_pid(&mut file).map_err(|error| unusable(&path, error))?;
                Ok(Self {
                    _file: file,
                    dir: dir.to_owned(),
                })
            }
        }
    }

    /// Whether the state directory `dir` could be taken now; `false` while another process holds
    /// it. Changes nothing: a directory that is missing is created by the first run.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), but for [`Locked`](ErrorKind::Locked).
    pub fn check(dir: &Path) -> Result<bool> {
        let existing = refuse_network(dir, network_file_system)?;
        fs::check_writable(existing).map_err(|error| unusable(dir, error))?;
        match File::open(dir.join("lock")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(unusable(&dir.join("lock"), error)),
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Ok(true),
                Err(TryLockError::WouldBlock) => Ok(false),
                Err(TryLockError::Error(error)) => Err(unusable(dir, error)),
            },
        }
    }

    /// The directory that it holds.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Refuses a directory on a network file system; gives the part of its path that is there already.
fn refuse_network(
    dir: &Path,
    network: fn(&Path) -> io::Result<Option<&'static str>>,
) -> Result<&Path> {
    let existing = dir
        .ancestors()
        .find(|dir| dir.exists())
        .unwrap_or(Path::new("."));
    match network(existing).map_err(|error| unusable(dir, error))? {
        None => Ok(existing),
        Some(kind) => Err(fs::on_network(
            ErrorKind::State,
            &format!("the state directory {}", dir.display()),
            kind,
            "Choose a directory on a local disk with --state-dir or [state] dir: over a network \
             neither the lock nor the database can be trusted.",
        )),
    }
}

fn create(dir: &Path) -> io::Result<()> {
    fs::create_private_directory(dir)?;
    match dir.canonicalize()?.parent() {
        Some(parent) => fs::sync_directory(parent),
        None => Ok(()),
    }
}

fn refused(path: &Path, error: OpenError) -> Error {
    match error {
        OpenError::Io(error) => unusable(path, error),
        OpenError::Link | OpenError::NotPlain => Error::new(
            ErrorKind::State,
            format!("{} is not a plain file", path.display()),
            "Something else put it there; find out what, and remove it or choose another state \
             directory.",
        ),
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn held(dir: &Path, file: &mut File) -> Error {
    let mut text = String::new();
    // The holder may be about to write its pid; the lock is held all the same.
    let pid = match file.take(32).read_to_string(&mut text) {
        Ok(_) => text.trim().parse::<u32>().ok(),
        Err(_) => None,
    };
    let holder = match pid.map(|pid| (pid, process_name(pid))) {
        Some((pid, Some(name))) => format!("process {pid} ({name})"),
        Some((pid, None)) => format!("process {pid}"),
        None => "another process".to_owned(),
    };
    Error::new(
        ErrorKind::Locked,
        format!(
            "the state directory {} is in use: {holder} holds it",
            dir.display()
        ),
        "Let it finish and try again. Two collectors on one state would deliver records twice, so \
         the second one waits its turn.",
    )
}

/// The name of a running process. Any process may name itself what it likes, so only what cannot
/// disturb a terminal is kept.
fn process_name(pid: u32) -> Option<String> {
    let name = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
    let name: String = String::from_utf8_lossy(&name)
        .chars()
        .filter(char::is_ascii_graphic)
        .collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn temp() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary directory")
    }

    #[test]
    fn a_second_holder_is_refused_and_told_who_the_first_is() {
        let dir = temp();
        let _first = Lock::acquire(dir.path()).expect("the first");
        let error = Lock::acquire(dir.path()).expect_err("the second");
        assert_eq!(error.kind(), ErrorKind::Locked);
        let me = format!("process {} (", std::process::id());
        assert!(error.to_string().contains(&me), "{error}");
    }

    #[test]
    fn a_lock_file_left_behind_holds_nobody_up() {
        let dir = temp();
        fs::write(dir.path().join("lock"), "4194304000000 and more").expect("a stale file");
        drop(Lock::acquire(dir.path()).expect("stale"));
        drop(Lock::acquire(dir.path()).expect("released"));
        let text = fs::read_to_string(dir.path().join("lock")).expect("the pid");
        assert_eq!(text, format!("{}\n", std::process::id()));
    }

    #[test]
    fn the_state_is_for_its_owner_alone() {
        let dir = temp();
        let state = dir.path().join("a/b");
        let _lock = Lock::acquire(&state).expect("a fresh directory");
        let mode = |path: &Path| fs::metadata(path).expect("it").permissions().mode() & 0o777;
        assert_eq!(mode(&state), 0o700);
        assert_eq!(mode(&state.join("lock")), 0o600);
    }

    #[test]
    fn a_network_file_system_is_refused_before_anything_is_created() {
        let dir = temp();
        let state = dir.path().join("a/b");
        let error = Lock::acquire_on(&state, |path| {
            assert!(path.exists());
            Ok(Some("NFS"))
        });
        let error = error.expect_err("it is no local disk");
        assert_eq!(error.kind(), ErrorKind::State);
        assert!(error.to_string().contains("NFS"), "{error}");
        assert!(!dir.path().join("a").exists());
    }

    #[test]
    fn a_planted_link_is_not_followed() {
        let dir = temp();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").expect("the victim");
        symlink(&victim, dir.path().join("lock")).expect("the link");
        let error = Lock::acquire(dir.path()).expect_err("a link");
        assert_eq!(error.kind(), ErrorKind::State);
        assert_eq!(fs::read_to_string(&victim).expect("it"), "precious");
    }
}
