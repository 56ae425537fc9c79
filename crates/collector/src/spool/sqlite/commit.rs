//! The one transaction: records, their counts and the watermark; and the way back from it.

use std::collections::HashMap;
use std::ops::Range;

use confluence_audit_core::{Fingerprint, Timestamp};
use rusqlite::{Connection, Transaction, params};

use super::checksum::write_site_checksum;
use super::chunk::{Chunk, Writer};
use super::error::StoreError;
use crate::spool::{Commit, SiteState};
use crate::{Result, SiteId};
use confluence_audit_core::read::NewRecord;

pub(super) fn write_commit(
    transaction: &Transaction<'_>,
    site: &SiteId,
    commit: &Commit,
) -> Result<(), StoreError> {
    transaction
        .prepare_cached("INSERT INTO site (name) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([site.as_str()])?;
    let id: i64 = transaction
        .prepare_cached(
            "UPDATE site SET watermark = max(coalesce(watermark, ?2), ?2),
                             counted_from = max(coalesce(counted_from, ?3), ?4)
             WHERE name = ?1 RETURNING id",
        )?
        .query_row(
            params![
                site.as_str(),
                commit.watermark.as_millis(),
                commit.from.as_millis(),
                commit.forget_before.as_millis()
            ],
            |row| row.get(0),
        )?;
    write_site_checksum(transaction, id)?;
    let mut count = transaction.prepare_cached(
        "INSERT INTO ledger (site, ms, fingerprint, n) VALUES (?1, ?2, ?3, 1)
         ON CONFLICT DO UPDATE SET n = n + 1 RETURNING n",
    )?;
    let mut chunks = Writer::new(transaction)?;
    chunks.go_on_at(id, last_seq(transaction)? + 1)?;
    let mut uncounted = Uncounted::new(transaction, id, commit)?;
    for record in &commit.records {
        let ms = record.time.as_millis();
        let fingerprint = record.fingerprint.as_bytes();
        let n: u32 = match uncounted.count(record) {
            Some(n) => n,
            None => count.query_row(params![id, ms, fingerprint], |row| row.get(0))?,
        };
        if n != record.ordinal {
            return Err(StoreError::Rule(format!(
                "record {} of {} is number {n} of its kind, and was taken for number {}",
                record.fingerprint, record.time, record.ordinal
            )));
        }
        chunks.push(ms, fingerprint, n, &record.line)?;
    }
    chunks.finish()?;
    transaction
        .prepare_cached("DELETE FROM ledger WHERE site = ?1 AND ms < ?2")?
        .execute(params![id, commit.forget_before.as_millis()])?;
    let mut done = transaction.prepare_cached(
        "INSERT INTO reread (site, step, done) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET done = excluded.done",
    )?;
    for (step, time) in &commit.rereads {
        done.execute(params![id, step, time.as_millis()])?;
    }
    Ok(())
}

/// The copies of records that are so old that their counts would be forgotten at once.
struct Uncounted {
    before: Timestamp,
    counts: HashMap<(Timestamp, Fingerprint), u32>,
}

impl Uncounted {
    fn new(transaction: &Transaction<'_>, site: i64, commit: &Commit) -> Result<Self, StoreError> {
        let before = commit.forget_before;
        let mut known = transaction.prepare_cached(
            "SELECT ms, fingerprint, n FROM ledger WHERE site = ?1 AND ms BETWEEN ?2 AND ?3",
        )?;
        let old = || {
            commit
                .records
                .iter()
                .map(|new| new.time)
                .filter(|ms| *ms < before)
        };
        let mut counts = HashMap::new();
        if let (Some(from), Some(to)) = (old().min(), old().max()) {
            let mut rows = known.query(params![site, from.as_millis(), to.as_millis()])?;
            while let Some(row) = rows.next()? {
                let fingerprint = Fingerprint::from_bytes(row.get(1)?);
                let time = Timestamp::from_millis(row.get(0)?);
                counts.insert((time, fingerprint), row.get(2)?);
            }
        }
        Ok(Self { before, counts })
    }

    /// Which of its copies the record is; `None` when it has to be counted.
    fn count(&mut self, record: &NewRecord) -> Option<u32> {
        (record.time < self.before).then(|| {
            let n = self.counts.entry((record.time, record.fingerprint));
            let n = n.or_insert(0);
            *n += 1;
            *n
        })
    }
}

/// The last number that was given out.
pub(super) fn last_seq(transaction: &Connection) -> Result<i64, StoreError> {
    let last = transaction
        .prepare_cached("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'chunk'")?
        .query_row([], |row| row.get(0))?;
    Ok(last)
}

pub(super) fn rewind(
    transaction: &Transaction<'_>,
    id: i64,
    site: &SiteId,
    state: &SiteState,
    to: Timestamp,
) -> Result<(), StoreError> {
    let Some(watermark) = state.watermark else {
        return Err(StoreError::Rule(format!(
            "the site {site} has no watermark"
        )));
    };
    if to >= watermark {
        return Ok(());
    }
    let counted_from = state.counted_from.unwrap_or(watermark);
    if to < counted_from {
        count_what_is_spooled(transaction, id, to.as_millis()..counted_from.as_millis())?;
    }
    transaction.execute(
        "UPDATE site SET watermark = ?2, counted_from = ?3 WHERE id = ?1",
        params![id, to.as_millis(), to.min(counted_from).as_millis()],
    )?;
    write_site_checksum(transaction, id)
}

/// What is spooled was committed, however old it is: it must not come a second time.
pub(super) fn count_what_is_spooled(
    transaction: &Connection,
    site: i64,
    span: Range<i64>,
) -> Result<(), StoreError> {
    let mut chunks = transaction.prepare_cached(&format!(
        "SELECT {} FROM chunk WHERE site = ?1",
        Chunk::COLUMNS
    ))?;
    let mut count = transaction.prepare_cached(
        "INSERT INTO ledger (site, ms, fingerprint, n) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET n = max(n, excluded.n)",
    )?;
    let mut rows = chunks.query([site])?;
    while let Some(row) = rows.next()? {
        for record in Chunk::read(row)?.records()? {
            if span.contains(&record.ms) {
                count.execute(params![site, record.ms, record.fingerprint, record.ordinal])?;
            }
        }
    }
    Ok(())
}
