//! The tables, by version: what leads from each to the next, and whether a file has them.

use rusqlite::{Connection, TransactionBehavior};

use super::checksum::write_missing_checksums;
use super::chunk::{delete_what_all_have, name_again};
use super::error::StoreError;
use super::pack::pack;
use crate::Result;

/// `CAud` in ASCII: tells `file(1)`, and us, whose database it is.
pub(super) const APPLICATION_ID: i32 = 0x4341_7564;

/// What leads from each version of the schema to the next; the version is how many have been
/// applied. Entries are only ever added.
pub(super) const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE site (
        id           INTEGER PRIMARY KEY,
        name         TEXT NOT NULL UNIQUE,
        watermark    INTEGER,
        counted_from INTEGER
    ) STRICT;
    CREATE TABLE reread (
        site INTEGER NOT NULL REFERENCES site (id),
        step TEXT NOT NULL,
        done INTEGER NOT NULL,
        PRIMARY KEY (site, step)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE ledger (
        site        INTEGER NOT NULL REFERENCES site (id),
        ms          INTEGER NOT NULL,
        fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 20),
        n           INTEGER NOT NULL CHECK (n > 0),
        PRIMARY KEY (site, ms, fingerprint)
    ) STRICT, WITHOUT ROWID;
    -- AUTOINCREMENT, so that a number is not used again when the records before it are swept
    -- away: an output stands behind that number and would not see the record.
    CREATE TABLE record (
        seq         INTEGER PRIMARY KEY AUTOINCREMENT,
        site        INTEGER NOT NULL REFERENCES site (id),
        ms          INTEGER NOT NULL,
        fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 20),
        ordinal     INTEGER NOT NULL CHECK (ordinal > 0),
        line        BLOB NOT NULL
    ) STRICT;
    CREATE TABLE output (
        name       TEXT PRIMARY KEY,
        seq        INTEGER NOT NULL,
        checkpoint BLOB
    ) STRICT, WITHOUT ROWID;
",
    // SQLite sees a broken page and not a wrong number in a good one. A watermark or a position
    // that is too high loses records, and a record with a lower number is never delivered, so each
    // of these rows carries a hash of itself.
    "
    ALTER TABLE site ADD COLUMN checksum BLOB;
    ALTER TABLE output ADD COLUMN checksum BLOB;
    ALTER TABLE record ADD COLUMN checksum BLOB;
",
    // Another site's id in place of a site's own would let its outputs pass over its records.
    "
    CREATE TABLE address (
        url  TEXT PRIMARY KEY,
        site TEXT NOT NULL,
        checksum BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    // A row for each record cost more than all else together. AUTOINCREMENT as above; see
    // `chunk.rs` for what is in a body.
    "
    CREATE TABLE chunk (
        last  INTEGER PRIMARY KEY AUTOINCREMENT,
        first INTEGER NOT NULL CHECK (0 < first AND first <= last),
        site  INTEGER NOT NULL REFERENCES site (id),
        bytes INTEGER NOT NULL CHECK (bytes >= 0),
        low   INTEGER NOT NULL,
        body  BLOB NOT NULL,
        checksum  BLOB NOT NULL
    ) STRICT;
",
    // What it held is in chunks by now.
    "
    DROP TABLE record;
",
    // Contents have other names by now, and a count tells nothing of what it counted: nothing from
    // before can be compared, so none of it is read again.
    "
    DELETE FROM ledger;
    UPDATE site SET counted_from = watermark + 1, checksum = NULL WHERE watermark IS NOT NULL;
",
];

/// Which migration takes away the table with a row for each record.
const PACKED: usize = 4;

/// Which migration gives contents their present names.
const NAMED: usize = 5;

/// The version of the schema, if the database is ours and not newer than this program.
pub(super) fn schema_version(connection: &Connection) -> Result<usize, StoreError> {
    let integer = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if integer("application_id")? != i64::from(APPLICATION_ID) {
        return Err(StoreError::Damaged("it is empty, or not ours".to_owned()));
    }
    let found = integer("user_version")?;
    match usize::try_from(found) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(version),
        _ => Err(StoreError::Newer(found)),
    }
}

/// The tables are kept as the text that made them: a wrong letter there is a table of another
/// name, and for SQLite nothing is wrong with it.
pub(super) fn check_schema(connection: &Connection, version: usize) -> Result<(), StoreError> {
    let fresh = Connection::open_in_memory()?;
    for migration in &MIGRATIONS[..version.min(MIGRATIONS.len())] {
        fresh.execute_batch(migration)?;
    }
    if schema(connection)? == schema(&fresh)? {
        Ok(())
    } else {
        let verdict = format!("its tables are not those of schema version {version}");
        Err(StoreError::Damaged(verdict))
    }
}

pub(super) fn schema(connection: &Connection) -> Result<Vec<[Option<String>; 4]>, StoreError> {
    let rows = connection
        .prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name")?
        .query_map([], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

pub(super) fn migrate(connection: &mut Connection, from: usize) -> Result<(), StoreError> {
    if from == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (version, migration) in MIGRATIONS.iter().enumerate().skip(from) {
        if version == PACKED {
            pack(&transaction)?;
            // They were swept away by a transaction of their own, before which a run could end.
            delete_what_all_have(&transaction)?;
        }
        if version == NAMED && from > 0 {
            name_again(&transaction)?;
            tracing::warn!(
                "the state is of a version before the first release: what arrives late from before \
                 now is not noticed; `confluence-audit verify` names it"
            );
        }
        transaction.execute_batch(migration)?;
    }
    write_missing_checksums(&transaction)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    let version = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()?;
    Ok(())
}
