//! The file itself: created whole, opened only where it can be trusted, never replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::OFlags;

use super::check::{check_positions, check_rows};
use super::error::StoreError;
use super::queue::KEPT_FREE;
use super::schema::{MIGRATIONS, check_schema, migrate, schema_version};
use crate::Result;
use crate::fs::{sync_directory, unusable};

pub(super) const FILE: &str = "spool.sqlite3";

/// A chunk goes through the log in a few pages rather than many. Files of versions before the first
/// release have pages of 4 KiB, and keep them.
pub(super) const PAGE: usize = 16 * 1024;

/// The log is copied back into the database when it has so many pages.
const LOG_PAGES: u32 = 1_000;

/// How much of the database is held in memory: negative, SQLite takes it for KiB.
const CACHE_KIB: i32 = -5_000;

/// How many statements are kept prepared.
const STATEMENTS: usize = 64;

/// The first bytes of every SQLite database.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Makes an empty spool beside its place and moves it there whole, so that a file that is empty
/// or without tables is always a damaged one.
pub(super) fn create(dir: &Path, path: &Path) -> Result<()> {
    refuse_log_alone(dir, path)?;
    let fresh = dir.join(format!("{FILE}.new"));
    create_at(&fresh)?;
    fs::rename(&fresh, path)
        .and_then(|()| sync_directory(dir))
        .map_err(|error| unusable(path, error))
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
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(fresh)
        .map_err(|error| unusable(fresh, error))?;
    let filled = connect(fresh).and_then(|mut connection| {
        // Both have to be said before the first table.
        connection.execute_batch(&format!("PRAGMA page_size = {PAGE}"))?;
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        migrate(&mut connection, 0)?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(())
    });
    filled.map_err(|error| error.explain(fresh, "creating it"))
}

pub(super) fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(path, error)),
        _ => Ok(()),
    }
}

/// The file that SQLite keeps beside a database under the same name and `suffix`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
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
    // The last one to close a database moves its log into it, if it is not told otherwise.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    let version = schema_version(&connection)?;
    check_schema(&connection, version)?;
    if version < MIGRATIONS.len() {
        return Err(StoreError::Older(version));
    }
    Ok(connection)
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

pub(super) fn check_and_migrate(path: &Path) -> Result<Connection, StoreError> {
    check_files(path)?;
    let mut connection = connect(path)?;
    let version = schema_version(&connection)?;
    check_schema(&connection, version)?;
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
    let verdict: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(StoreError::Damaged(verdict));
    }
    migrate(&mut connection, version)?;
    let mut wrong = Vec::new();
    check_rows(&connection, &mut wrong)?;
    check_positions(&connection, &mut wrong)?;
    match wrong.into_iter().next() {
        Some(wrong) => Err(StoreError::Damaged(wrong)),
        None => Ok(connection),
    }
}
