//! A copy of the damaged files on which SQLite may do what it likes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rusqlite::Connection;

use crate::Result;
use crate::spool::sqlite::connection::{PAGE, connect};
use crate::spool::sqlite::error::StoreError;
use crate::spool::sqlite::schema::{MIGRATIONS, check_schema, schema_version};

/// A disk fails in blocks that are no larger.
const BLOCK: usize = 4096;

/// Copies `from`, if it is there, with zeros for what the disk does not give.
pub(super) fn copy_what_is_readable(from: &Path, to: &Path) -> Result<(), StoreError> {
    let source = match File::open(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        source => source?,
    };
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
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

pub(super) fn first_page(path: &Path) -> Result<[u8; PAGE], StoreError> {
    let mut page = [0; PAGE];
    File::open(path)?.read_exact_at(&mut page, 0)?;
    Ok(page)
}

/// Makes the file whole pages, the first of them `page`.
pub(super) fn put_first_page(path: &Path, page: &[u8; PAGE]) -> Result<(), StoreError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let pages = file.metadata()?.len().div_ceil(PAGE as u64).max(1);
    file.set_len(pages * PAGE as u64)?;
    let mut page = *page;
    // The size in pages, and no free pages: see "The Database Header" in SQLite's file format.
    let pages = u32::try_from(pages).unwrap_or(u32::MAX);
    page[28..32].copy_from_slice(&pages.to_be_bytes());
    page[32..40].fill(0);
    file.write_all_at(&page, 0)?;
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
    let names: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let is_ours = |name: &String| {
        [
            "site",
            "reread",
            "ledger",
            "record",
            "output",
            "address",
            "chunk",
            "sqlite_sequence",
        ]
        .contains(&name.as_str())
    };
    let version = schema_version(&connection).unwrap_or(MIGRATIONS.len());
    let tables = match check_schema(&connection, version) {
        Ok(()) => Tables::Ours,
        Err(StoreError::Damaged(_)) if names.is_empty() || names.iter().any(is_ours) => {
            Tables::Unknown
        }
        Err(StoreError::Damaged(_)) => Tables::Foreign,
        Err(error) => return Err(error),
    };
    Ok((connection, tables))
}
