//! The lock beside a token file: one refresh at a time, in all processes and tasks.
//!
//! It is a file of its own, because the token file is replaced at each refresh, and stays where it
//! is. The kernel lets go of it when its holder ends, however it ends.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::fs::{self, LockFile, network_file_system};
use crate::{Error, ErrorKind, Result};

/// How long a refresh of others is waited for: longer than one takes with all its retries.
const WAIT_MAX: Duration = Duration::from_mins(10);

/// How often it is looked whether it has ended. Asking does not block a thread, which nothing
/// could take back.
const INTERVAL: Duration = Duration::from_millis(20);

/// Held as long as this lives.
pub(super) struct TokenLock {
    _file: File,
}

impl TokenLock {
    pub(super) async fn acquire(token_file: &Path) -> Result<Self> {
        let path = fs::with_suffix(token_file, ".lock");
        refuse_network(token_file)?;
        let acquired = timeout(WAIT_MAX, async {
            loop {
                if let LockFile::Locked(file) = try_acquire(&path)? {
                    return Ok(Self { _file: file });
                }
                sleep(INTERVAL).await;
            }
        });
        acquired.await.unwrap_or_else(|_| {
            let minutes = WAIT_MAX.as_secs() / 60;
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

fn try_acquire(path: &Path) -> Result<LockFile> {
    fs::try_lock(path).map_err(|error| {
        Error::new(
            ErrorKind::Io,
            format!("the lock {} cannot be taken", path.display()),
            "The directory must be writable for the user that collects, and the lock a plain file \
             of its own.",
        )
        .with_source(error)
    })
}

pub(super) fn refuse_network(token_file: &Path) -> Result<()> {
    let dir = fs::directory(token_file);
    // Where it cannot be told, what is done there will tell.
    match network_file_system(dir).unwrap_or(None) {
        None => Ok(()),
        Some(kind) => Err(fs::on_network(
            ErrorKind::State,
            &format!("the token file's directory {}", dir.display()),
            kind,
            "Keep it on a local disk: over a network the lock cannot be trusted, and two \
             refreshes with one token end the consent.",
        )),
    }
}
