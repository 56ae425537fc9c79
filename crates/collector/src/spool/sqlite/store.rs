//! A connection that is used by one caller at a time, in whole transactions.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::connection::{beside, connect_read_only};
use super::error::StoreError;
use crate::{Error, ErrorKind, Result};

/// How often a spool is looked at until it holds still.
const LOOKS: usize = 5;

#[derive(Debug)]
pub(super) struct Store {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    /// For one that only reads: what the files were like before it was opened.
    pub(super) seen: Option<Footprint>,
    /// Writing failed in the disk's own way. What the kernel still remembers of the file may
    /// differ from what the disk holds, so this process asks no more.
    pub(super) failed: bool,
}

impl Store {
    pub(super) fn transaction<T>(
        &mut self,
        what: &str,
        work: impl Fn(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T> {
        if self.failed {
            return Err(Error::new(
                ErrorKind::Io,
                format!("the spool {} failed before", self.path.display()),
                "See to the disk and start again.",
            ));
        }
        if self.seen.is_some() {
            return self.look(what, work);
        }
        // At once a writer: a reader that turns into one can be refused halfway.
        let done = run(&mut self.connection, TransactionBehavior::Immediate, &work);
        done.map_err(|error| {
            self.failed = error.is_of_the_disk();
            error.explain(&self.path, what)
        })
    }

    /// Without a log the file is read as one that nobody changes. A run may have begun meanwhile,
    /// and what was read then may be anything.
    fn look<T>(
        &mut self,
        what: &str,
        work: impl Fn(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T> {
        for _ in 0..LOOKS {
            let done = run(&mut self.connection, TransactionBehavior::Deferred, &work);
            let now = Footprint::of(&self.path);
            match &self.seen {
                Some(seen) if !seen.has_log && *seen != now => {}
                _ => return done.map_err(|error| error.explain(&self.path, what)),
            }
            self.seen = Some(now);
            self.connection = connect_read_only(&self.path)
                .map_err(|error| error.explain(&self.path, "opening it"))?;
        }
        Err(Error::new(
            ErrorKind::Locked,
            format!(
                "the spool {} changed each time it was looked at",
                self.path.display()
            ),
            "Try again in a moment.",
        ))
    }
}

/// Free pages are good for the next commit, and a program that ends makes none: the file is left as
/// large as what it holds. Where that fails it is only larger, and nothing in it is wrong.
impl Drop for Store {
    fn drop(&mut self) {
        if self.seen.is_none() && !self.failed {
            let _ = vacuum(&self.connection);
        }
    }
}

/// Gives the free pages of the file back.
pub(super) fn vacuum(connection: &Connection) -> rusqlite::Result<()> {
    // One page a step, and a row of nothing for each.
    let mut vacuum = connection.prepare("PRAGMA incremental_vacuum")?;
    let mut pages = vacuum.query([])?;
    while pages.next()?.is_some() {}
    Ok(())
}

fn run<T>(
    connection: &mut Connection,
    behavior: TransactionBehavior,
    work: impl Fn(&Transaction<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = connection.transaction_with_behavior(behavior)?;
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

/// What tells that a file was written to meanwhile.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Footprint {
    has_log: bool,
    file: Option<(u64, Option<SystemTime>)>,
}

impl Footprint {
    pub(super) fn of(path: &Path) -> Self {
        Self {
            has_log: beside(path, "-wal").exists(),
            file: fs::metadata(path)
                .ok()
                .map(|meta| (meta.len(), meta.modified().ok())),
        }
    }
}
