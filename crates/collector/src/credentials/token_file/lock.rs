//! The lock beside a token file: one refresh at a time, in all processes and tasks.
//!
//! It is a file of its own, because the token file is replaced at each refresh, and stays where it
//! is. The kernel lets go of it when its holder ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use tokio::time::{sleep, timeout};

use crate::fs::network_file_system;
use crate::state::is_still_at;
use crate::{Error, ErrorKind, Result};

use super::suffixed;

/// How long a refresh of others is waited for: longer than one takes with all its retries.
const PATIENCE: Duration = Duration::from_mins(10);

/// How often it is looked whether it has ended. Asking does not block a thread, which nothing
/// could take back.
const INTERVAL: Duration = Duration::from_millis(20);

/// Held as long as this lives.
pub(super) struct TokenLock {
    _file: File,
}

impl TokenLock {
    pub(super) async fn acquire(token_file: &Path) -> Result<Self> {
        let path = suffixed(token_file, ".lock");
        if let Some(dir) = path.parent() {
            refuse_network(dir)?;
        }
        let acquired = timeout(PATIENCE, async {
            loop {
                if let Some(file) = try_acquire(&path)? {
                    return Ok(Self { _file: file });
                }
                sleep(INTERVAL).await;
            }
        });
        acquired.await.unwrap_or_else(|_| {
            let minutes = PATIENCE.as_secs() / 60;
            Err(Error::new(
                ErrorKind::Locked,
                format!(
                    "another process has held {} for {minutes} minutes",
                    path.display()
                ),
                "A refresh does not take that long: find the process that holds the file (fuser, \
                 lsof), and end it.",
            ))
        })
    }
}

fn try_acquire(path: &Path) -> Result<Option<File>> {
    let attempt = || -> io::Result<Option<File>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Between opening and locking, someone may have removed the file: then the next one would
        // lock another, and two would believe that they are alone.
        Ok(is_still_at(&file, path)?.then_some(file))
    };
    attempt().map_err(|error| {
        Error::new(
            ErrorKind::Io,
            format!("the lock {} cannot be taken", path.display()),
            "The directory must be writable for the user that collects, and the lock a plain file \
             of its own.",
        )
        .with_source(error)
    })
}

pub(super) fn refuse_network(dir: &Path) -> Result<()> {
    let dir = if dir == Path::new("") {
        Path::new(".")
    } else {
        dir
    };
    // Where it cannot be told, what is done there will tell.
    match network_file_system(dir).unwrap_or(None) {
        None => Ok(()),
        Some(kind) => Err(Error::new(
            ErrorKind::State,
            format!(
                "the token file's directory {} is on a network file system ({kind})",
                dir.display()
            ),
            "Keep it on a local disk: over a network the lock cannot be trusted, and two \
             refreshes with one token end the consent.",
        )),
    }
}
