//! The connection to the spool's file: created whole, opened only where it can be trusted, never
//! replaced; used by one caller at a time, in whole transactions.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::check::{SMALL_TABLES, check_numbers, check_pages, check_rows};
use super::error::StoreError;
use super::schema::{check_schema, create_tables};
use crate::fs::{self, unusable};
use crate::{Error, ErrorKind, Result};

pub(super) const FILE: &str = "spool.sqlite3";

/// A chunk goes through the log in a few pages rather than many.
pub(super) const PAGE: usize = 16 * 1024;

/// The log is copied back into the database when it has so many pages.
const LOG_PAGES: u32 = 1_000;

/// How much of the database is held in memory: negative, SQLite takes it for KiB.
const CACHE_KIB: i32 = -5_000;

/// How many statements are kept prepared.
const STATEMENTS: usize = 64;

/// Free space inside the file above which it is given back after a sweep: one long failure of an
/// output shall not cost its disk space for ever.
pub(super) const KEPT_FREE: i64 = 64 * 1024 * 1024;

/// How often a spool is looked at until it holds still.
const LOOKS: usize = 5;

/// The first bytes of every SQLite database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Makes an empty spool beside its place and moves it there whole, so that a file that is empty
/// or without tables is always a damaged one.
pub(super) fn create(dir: &Path, path: &Path) -> Result<()> {
    refuse_log_alone(dir, path)?;
    let fresh = dir.join(format!("{FILE}.new"));
    create_at(&fresh)?;
    fs::rename(&fresh, path).map_err(|error| unusable(path, error))
}

/// A log without its database is what is left of one, and no reason to begin anew.
pub(super) fn refuse_log_alone(dir: &Path, path: &Path) -> Result<()> {
    let log = dir.join(format!("{FILE}-wal"));
    if log.symlink_metadata().is_ok() {
        let error = StoreError::Damaged(format!("{} is there without it", log.display()));
        return Err(error.explain(path, "opening it"));
    }
    Ok(())
}

/// Makes an empty spool at `fresh`, in place of what an interrupted attempt left there.
pub(super) fn create_at(fresh: &Path) -> Result<()> {
    for left in [
        fresh.to_owned(),
        beside(fresh, "-journal"),
        beside(fresh, "-wal"),
    ] {
        remove_if_there(&left)?;
    }
    // SQLite would create it readable for others; its log inherits what we choose.
    fs::create_new(fresh, 0o600).map_err(|error| unusable(fresh, error))?;
    let filled = connect(fresh).and_then(|mut connection| {
        // Both have to be said before the first table.
        connection.execute_batch(&format!("PRAGMA page_size = {PAGE}"))?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        create_tables(&mut connection)?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(())
    });
    filled.map_err(|error| error.explain(fresh, "creating it"))
}

pub(super) fn remove_if_there(path: &Path) -> Result<()> {
    fs::remove_if_there(path).map_err(|error| unusable(path, error))
}

/// The file that SQLite keeps beside a database under the same name and `suffix`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    fs::with_suffix(path, suffix)
}

pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    Ok(Connection::open_with_flags(path, flags)?)
}

/// A connection that reads alone and leaves no trace.
pub(super) fn connect_read_only(path: &Path) -> Result<Connection, StoreError> {
    check_files(path)?;
    let mut flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = if beside(path, "-wal").exists() {
        Connection::open_with_flags(path, flags)?
    } else {
        // Nobody has it open. Without this word SQLite would create a log for its own reading.
        flags |= OpenFlags::SQLITE_OPEN_URI;
        let mut uri = url::Url::from_file_path(path)
            .map_err(|()| StoreError::Rule("its path is not absolute".to_owned()))?;
        uri.set_query(Some("immutable=1"));
        Connection::open_with_flags(uri.as_str(), flags)?
    };
    keep_log(&connection, true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    check_schema(&connection)?;
    Ok(connection)
}

/// Whether closing leaves the log where it is. Otherwise the last one to close a database moves its
/// log into it.
fn keep_log(connection: &Connection, keeps: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keeps)?;
    Ok(())
}

/// What can be seen of the files before SQLite is asked, which makes the best of what it finds.
fn check_files(path: &Path) -> Result<(), StoreError> {
    let mut magic = [0; MAGIC.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    match read {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            return Err(StoreError::File(error));
        }
        _ if magic == *MAGIC => {}
        _ => {
            return Err(StoreError::Damaged(
                "it does not begin as a database does".to_owned(),
            ));
        }
    }
    // A process that dies leaves both, one that ends well leaves none, and the log is made first
    // and deleted last. Only a disk that refused to delete the index alone leaves it behind.
    let (log, index) = (beside(path, "-wal"), beside(path, "-shm"));
    if index.exists() && !log.exists() && !log_is_copied_back(&index)? {
        return Err(StoreError::Damaged(format!(
            "{} is gone, and what it held with it",
            log.display()
        )));
    }
    Ok(())
}

/// Whether the database itself has all that the log had, by the index's word: as many frames are
/// copied back as are valid. The places are those of <https://www.sqlite.org/walformat.html>.
fn log_is_copied_back(index: &Path) -> Result<bool, StoreError> {
    let mut head = [0; 100];
    match File::open(index).and_then(|mut file| file.read_exact(&mut head)) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        read => read?,
    }
    let is_complete = head[12] == 1 && head[..48] == head[48..96];
    Ok(is_complete && head[16..20] == head[96..100])
}

/// Opens the spool to write to it. The pages of counts are looked at only when the program that had
/// it open before did not end well; everything else always.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    check_files(path)?;
    let ended_well = !beside(path, "-wal").exists();
    let connection = connect(path)?;
    check_schema(&connection)?;
    // One that is refused leaves its log behind, so that the next start is as careful.
    keep_log(&connection, true)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Damaged(format!(
            "its journal stays in mode {mode}"
        )));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // A page that is written again before then is copied back once: what a backfill commits and
    // deletes goes through the log alone.
    connection.pragma_update_and_check(None, "wal_autocheckpoint", LOG_PAGES, |_| Ok(()))?;
    // What one statement would have to undo went through a file otherwise, and it is small.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // All that are ever prepared; the usual number is a few less than a commit and its delivery take.
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // A window that was committed is read from memory when it is delivered.
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    // Otherwise the log keeps the size of the largest commit for ever.
    connection.pragma_update_and_check(None, "journal_size_limit", KEPT_FREE, |_| Ok(()))?;
    let mut wrong = Vec::new();
    if ended_well {
        for table in SMALL_TABLES {
            check_pages(&connection, Some(table), &mut wrong)?;
        }
    } else {
        check_pages(&connection, None, &mut wrong)?;
    }
    if wrong.is_empty() {
        check_rows(&connection, &mut wrong)?;
        check_numbers(&connection, &mut wrong)?;
    }
    if let Some(wrong) = wrong.into_iter().next() {
        return Err(StoreError::Damaged(wrong));
    }
    keep_log(&connection, false)?;
    Ok(connection)
}

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
            if error.is_damage() {
                // The log stays behind, by which the next start knows to check the whole file.
                let _ = keep_log(&self.connection, true);
            }
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
            file: std::fs::metadata(path)
                .ok()
                .map(|meta| (meta.len(), meta.modified().ok())),
        }
    }
}
