//! From the table with a row for each record, which versions before 5 had, into chunks.

use confluence_audit_core::Fingerprint;
use rusqlite::Connection;

use super::checksum::{RecordRow, matches, record_checksum};
use super::chunk::Writer;
use super::error::StoreError;
use crate::Result;

/// Puts what is in the table `record` into chunks, and goes on numbering where it ended. A row
/// without a checksum is of a version that had none.
pub(super) fn pack(transaction: &Connection) -> Result<(), StoreError> {
    let last: i64 = transaction.query_row(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'record'",
        [],
        |row| row.get(0),
    )?;
    pack_rows(transaction)?;
    set_last_seq(transaction, last)
}

/// The same for a table whose numbers were not given out there.
pub(super) fn pack_rows(transaction: &Connection) -> Result<(), StoreError> {
    let mut records = transaction.prepare(
        "SELECT seq, site, ms, fingerprint, ordinal, line, checksum FROM record ORDER BY seq",
    )?;
    let mut rows = records.query([])?;
    let mut chunks = Writer::new(transaction)?;
    while let Some(row) = rows.next()? {
        let fingerprint: [u8; Fingerprint::LEN] = row.get(3)?;
        let line = row.get_ref(5)?.as_blob().map_err(rusqlite::Error::from)?;
        let record = RecordRow {
            seq: row.get(0)?,
            site: row.get(1)?,
            ms: row.get(2)?,
            fingerprint: &fingerprint,
            ordinal: row.get(4)?,
            line,
        };
        let has_checksum = row.get_ref(6)? != rusqlite::types::ValueRef::Null;
        if has_checksum && !matches(row, 6, record_checksum(&record))? {
            let seq = record.seq;
            return Err(StoreError::Damaged(format!(
                "record {seq} is not what was written"
            )));
        }
        chunks.go_on_at(record.site, record.seq)?;
        chunks.push(record.ms, &fingerprint, record.ordinal, line)?;
    }
    chunks.finish()
}

/// Has the next record get the number behind `last`.
pub(super) fn set_last_seq(transaction: &Connection, last: i64) -> Result<(), StoreError> {
    transaction.execute("DELETE FROM sqlite_sequence WHERE name = 'chunk'", [])?;
    transaction.execute(
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('chunk', ?1)",
        [last],
    )?;
    Ok(())
}
