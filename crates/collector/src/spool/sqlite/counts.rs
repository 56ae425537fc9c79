//! The dedup counts: how many copies of a record were committed.
//!
//! A count of 1, which nearly all are, takes no byte in SQLite's file that could flip. One of more
//! carries a checksum: a number that is too high would keep a twin from being delivered.

use confluence_audit_core::read::Counts;
use confluence_audit_core::{Fingerprint, Timestamp};
use rusqlite::{CachedStatement, Connection, Row, params};

use super::checksum::{count_checksum, matches};
use super::error::StoreError;
use crate::Result;

/// The counts of a site from `from` to `to`, both included.
pub(super) fn counts_between(
    transaction: &Connection,
    site: i64,
    from: Timestamp,
    to: Timestamp,
) -> Result<Counts, StoreError> {
    let mut select = transaction.prepare_cached(
        "SELECT site, ms, fingerprint, n, checksum FROM ledger
         WHERE site = ?1 AND ms BETWEEN ?2 AND ?3",
    )?;
    let mut rows = select.query(params![site, from.as_millis(), to.as_millis()])?;
    let mut counts = Counts::new();
    while let Some(row) = rows.next()? {
        let (ms, fingerprint, n) = read(row)?;
        let time = Timestamp::from_millis(ms);
        counts.insert((time, Fingerprint::from_bytes(fingerprint)), n);
    }
    Ok(counts)
}

/// How many copies of one record were committed.
pub(super) fn count_at(
    transaction: &Connection,
    site: i64,
    ms: i64,
    fingerprint: &[u8; Fingerprint::LEN],
) -> Result<u32, StoreError> {
    let mut select = transaction.prepare_cached(
        "SELECT site, ms, fingerprint, n, checksum FROM ledger
         WHERE site = ?1 AND ms = ?2 AND fingerprint = ?3",
    )?;
    let mut rows = select.query(params![site, ms, fingerprint])?;
    match rows.next()? {
        Some(row) => Ok(read(row)?.2),
        None => Ok(0),
    }
}

pub(super) fn set_count(
    transaction: &Connection,
    site: i64,
    ms: i64,
    fingerprint: &[u8; Fingerprint::LEN],
    n: u32,
) -> Result<(), StoreError> {
    let checksum = (n > 1).then(|| count_checksum(site, ms, fingerprint, n));
    transaction
        .prepare_cached(
            "INSERT INTO ledger (site, ms, fingerprint, n, checksum) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET n = excluded.n, checksum = excluded.checksum",
        )?
        .execute(params![site, ms, fingerprint, n, checksum])?;
    Ok(())
}

/// Counts records of one site, one after the other.
pub(super) struct Counter<'a> {
    transaction: &'a Connection,
    site: i64,
    insert: CachedStatement<'a>,
}

impl<'a> Counter<'a> {
    pub(super) fn new(transaction: &'a Connection, site: i64) -> Result<Self, StoreError> {
        let insert = transaction.prepare_cached(
            "INSERT INTO ledger (site, ms, fingerprint, n) VALUES (?1, ?2, ?3, 1)
             ON CONFLICT DO NOTHING",
        )?;
        Ok(Self {
            transaction,
            site,
            insert,
        })
    }

    /// Which of its copies the record is.
    pub(super) fn count(
        &mut self,
        ms: i64,
        fingerprint: &[u8; Fingerprint::LEN],
    ) -> Result<u32, StoreError> {
        let Self {
            transaction, site, ..
        } = *self;
        if self.insert.execute(params![site, ms, fingerprint])? == 1 {
            return Ok(1);
        }
        let n = count_at(transaction, site, ms, fingerprint)?.saturating_add(1);
        set_count(transaction, site, ms, fingerprint, n)?;
        Ok(n)
    }
}

/// The millisecond, the fingerprint and the number of a row of counts.
pub(super) fn read(row: &Row<'_>) -> Result<(i64, [u8; Fingerprint::LEN], u32), StoreError> {
    let (site, ms): (i64, i64) = (row.get(0)?, row.get(1)?);
    let (fingerprint, n) = (row.get(2)?, row.get(3)?);
    let good = match n {
        1 => row.get::<_, Option<Vec<u8>>>(4)?.is_none(),
        _ => matches(row, 4, count_checksum(site, ms, &fingerprint, n))?,
    };
    if good {
        return Ok((ms, fingerprint, n));
    }
    let time = Timestamp::from_millis(ms);
    Err(StoreError::Damaged(format!(
        "a count of records of {time} is not what was written"
    )))
}
