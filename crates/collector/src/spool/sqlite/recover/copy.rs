//! A copy of the damaged files on which SQLite may do what it likes.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::Connection;

use crate::spool::sqlite::check::SMALL_TABLES;
use crate::spool::sqlite::connection::connect;
use crate::spool::sqlite::error::StoreError;
use crate::spool::sqlite::schema::{check_tables, check_version};
use crate::{Result, fs};

/// A disk fails in blocks that are no larger.
const BLOCK: usize = 4096;

/// Copies `from`, if it is there, with zeros for what the disk does not give.
pub(super) fn copy_what_is_readable(from: &Path, to: &Path) -> Result<(), StoreError> {
    let source = match File::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        source => source?,
    };
    let mut target = fs::create_new(to, 0o600)?;
    let len = source.metadata()?.len();
    let mut offset = 0;
    let mut block = [0; BLOCK];
    while offset < len {
        let wanted = usize::try_from(len - offset).map_or(BLOCK, |rest| rest.min(BLOCK));
        let block = &mut block[..wanted];
        if source.read_exact_at(block, offset).is_err() {
            block.fill(0);
        }
        target.write_all(block)?;
        offset += wanted as u64;
    }
    Ok(())
}

/// Whose tables a database holds.
pub(super) enum Tables {
    /// Ours, of this version.
    Ours,
    /// Some of ours, or none at all.
    Unknown,
    /// Others.
    Foreign,
}

pub(super) fn tables(path: &Path) -> Result<(Connection, Tables), StoreError> {
    let connection = connect(path)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    let tables = match check_tables(&connection) {
        Ok(()) => Tables::Ours,
        Err(StoreError::Damaged(_)) if has_our_mark(&connection)? => Tables::Unknown,
        Err(StoreError::Damaged(_)) => Tables::Foreign,
        Err(error) => return Err(error),
    };
    Ok((connection, tables))
}

/// Whether anything says that the database was ours, or there is nothing in it.
fn has_our_mark(connection: &Connection) -> Result<bool, StoreError> {
    if !matches!(check_version(connection), Err(StoreError::Damaged(_))) {
        return Ok(true);
    }
    let names: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let ours = SMALL_TABLES.iter().chain(["ledger"].iter());
    let is_ours = |name: &String| ours.clone().any(|ours| ours == name);
    Ok(names.is_empty() || names.iter().any(is_ours))
}
