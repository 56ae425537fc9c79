//! Checksums: a hash of itself in each row from which a wrong number would lose records.

use confluence_audit_core::Fingerprint;
use rusqlite::{Connection, Row, params};

use super::error::StoreError;
use crate::Result;

/// What tells that a site's row is as it was written.
pub(super) fn site_checksum(
    id: i64,
    name: &str,
    watermark: Option<i64>,
    counted_from: Option<i64>,
) -> [u8; 8] {
    let number = |number: Option<i64>| number.map(i64::to_le_bytes).unwrap_or_default();
    checksum(&[
        &id.to_le_bytes(),
        name.as_bytes(),
        &[
            u8::from(watermark.is_some()),
            u8::from(counted_from.is_some()),
        ],
        &number(watermark),
        &number(counted_from),
    ])
}

/// A record in the table that had a row for each.
pub(super) struct RecordRow<'a> {
    pub(super) seq: i64,
    pub(super) site: i64,
    pub(super) ms: i64,
    pub(super) fingerprint: &'a [u8; Fingerprint::LEN],
    pub(super) ordinal: u32,
    pub(super) line: &'a [u8],
}

/// What tells that such a row is as it was written.
pub(super) fn record_checksum(record: &RecordRow<'_>) -> [u8; 8] {
    checksum(&[
        &record.seq.to_le_bytes(),
        &record.site.to_le_bytes(),
        &record.ms.to_le_bytes(),
        record.fingerprint,
        &record.ordinal.to_le_bytes(),
        record.line,
    ])
}

/// What tells that an output's row is as it was written.
pub(super) fn output_checksum(name: &str, seq: i64, checkpoint: Option<&[u8]>) -> [u8; 8] {
    checksum(&[
        name.as_bytes(),
        &seq.to_le_bytes(),
        &[u8::from(checkpoint.is_some())],
        checkpoint.unwrap_or_default(),
    ])
}

/// What tells that an address's row is as it was written.
pub(super) fn address_checksum(address: &str, site: &str) -> [u8; 8] {
    checksum(&[address.as_bytes(), site.as_bytes()])
}

pub(super) fn checksum(parts: &[&[u8]]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut checksum = [0; 8];
    checksum.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    checksum
}

/// Whether a row has this checksum in its `column`.
pub(super) fn matches(row: &Row<'_>, column: usize, expected: [u8; 8]) -> rusqlite::Result<bool> {
    let found: Option<Vec<u8>> = row.get(column)?;
    Ok(found.as_deref() == Some(&expected[..]))
}

/// Checksums a site's row, after each change of it.
pub(super) fn write_site_checksum(transaction: &Connection, id: i64) -> Result<(), StoreError> {
    let (name, watermark, counted_from): (String, _, _) = transaction
        .prepare_cached("SELECT name, watermark, counted_from FROM site WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    transaction
        .prepare_cached("UPDATE site SET checksum = ?2 WHERE id = ?1")?
        .execute(params![
            id,
            site_checksum(id, &name, watermark, counted_from)
        ])?;
    Ok(())
}

pub(super) fn write_output_checksum(
    transaction: &Connection,
    name: &str,
) -> Result<(), StoreError> {
    let (seq, checkpoint): (i64, Option<Vec<u8>>) = transaction
        .prepare_cached("SELECT seq, checkpoint FROM output WHERE name = ?1")?
        .query_row([name], |row| Ok((row.get(0)?, row.get(1)?)))?;
    transaction
        .prepare_cached("UPDATE output SET checksum = ?2 WHERE name = ?1")?
        .execute(params![
            name,
            output_checksum(name, seq, checkpoint.as_deref())
        ])?;
    Ok(())
}

/// Checksums sites and outputs that an earlier version wrote.
pub(super) fn write_missing_checksums(transaction: &Connection) -> Result<(), StoreError> {
    let ids: Vec<i64> = transaction
        .prepare("SELECT id FROM site WHERE checksum IS NULL")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in ids {
        write_site_checksum(transaction, id)?;
    }
    let names: Vec<String> = transaction
        .prepare("SELECT name FROM output WHERE checksum IS NULL")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for name in names {
        write_output_checksum(transaction, &name)?;
    }
    Ok(())
}
