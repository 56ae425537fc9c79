//! The tables of the spool, their version, and whether a file has them.

use rusqlite::{Connection, TransactionBehavior};

use super::error::StoreError;
use crate::Result;

/// `CAus` in ASCII: tells `file(1)`, and us, whose database it is.
const APPLICATION_ID: i64 = 0x4341_7573;

/// The same of the development versions before the first release, whose tables were others.
const DEVELOPMENT_ID: i64 = 0x4341_7564;

/// The version of the schema.
const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE site (
        id             INTEGER PRIMARY KEY,
        name           TEXT NOT NULL UNIQUE,
        watermark      INTEGER,
        counted_from   INTEGER,
        -- None of what waited after the last commit is older; NULL when nothing did.
        oldest_waiting INTEGER,
        -- The most records that a page has held: one with fewer was not cut.
        largest_page   INTEGER,
        checksum       BLOB NOT NULL
    ) STRICT;
    CREATE TABLE reread (
        site INTEGER NOT NULL REFERENCES site (id),
        step TEXT NOT NULL,
        done INTEGER NOT NULL,
        PRIMARY KEY (site, step)
    ) STRICT, WITHOUT ROWID;
    -- See counts.rs for which counts have a checksum.
    CREATE TABLE ledger (
        site        INTEGER NOT NULL REFERENCES site (id),
        ms          INTEGER NOT NULL,
        fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 20),
        n           INTEGER NOT NULL CHECK (n > 0),
        checksum    BLOB CHECK ((checksum IS NULL) = (n = 1)),
        PRIMARY KEY (site, ms, fingerprint)
    ) STRICT, WITHOUT ROWID;
    -- See chunk.rs for what is in a body. AUTOINCREMENT, so that a number is not used again when
    -- all records before it are deleted: an output stands behind it and would not see the record.
    CREATE TABLE chunk (
        last     INTEGER PRIMARY KEY AUTOINCREMENT,
        first    INTEGER NOT NULL CHECK (0 < first AND first <= last),
        site     INTEGER NOT NULL REFERENCES site (id),
        bytes    INTEGER NOT NULL CHECK (bytes >= 0),
        low      INTEGER NOT NULL,
        body     BLOB NOT NULL,
        checksum BLOB NOT NULL
    ) STRICT;
    CREATE TABLE output (
        name       TEXT PRIMARY KEY,
        seq        INTEGER NOT NULL,
        checkpoint BLOB,
        checksum   BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE address (
        url      TEXT PRIMARY KEY,
        site     TEXT NOT NULL,
        checksum BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
";

pub(super) fn create_tables(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// Whether the database is ours, of the version that this program knows, and has its tables.
pub(super) fn check_schema(connection: &Connection) -> Result<(), StoreError> {
    check_version(connection)?;
    check_tables(connection)
}

pub(super) fn check_version(connection: &Connection) -> Result<(), StoreError> {
    let integer = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    match integer("application_id")? {
        APPLICATION_ID => {}
        DEVELOPMENT_ID => return Err(StoreError::Development),
        _ => return Err(StoreError::Damaged("it is empty, or not ours".to_owned())),
    }
    match integer("user_version")? {
        VERSION => Ok(()),
        0 => Err(StoreError::Damaged("it has no schema version".to_owned())),
        found => Err(StoreError::Newer {
            found,
            known: VERSION,
        }),
    }
}

/// The tables are kept as the text that made them: a wrong letter there is a table of another
/// name, and for SQLite nothing is wrong with it.
pub(super) fn check_tables(connection: &Connection) -> Result<(), StoreError> {
    let fresh = Connection::open_in_memory()?;
    fresh.execute_batch(TABLES)?;
    if schema(connection)? == schema(&fresh)? {
        return Ok(());
    }
    Err(StoreError::Damaged(format!(
        "its tables are not those of schema version {VERSION}"
    )))
}

fn schema(connection: &Connection) -> Result<Vec<[Option<String>; 4]>, StoreError> {
    let rows = connection
        .prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name")?
        .query_map([], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}
