//! The one transaction: records, their counts and the watermark; and the ways back from it.

use std::collections::HashMap;

use confluence_audit_core::read::{Counts, NewRecord};
use confluence_audit_core::{Fingerprint, Timestamp};
use rusqlite::{Connection, Transaction, params};

use super::chunk::{Chunk, Writer};
use super::counts::{Counter, count_at, counts_between, set_count};
use super::error::StoreError;
use super::rows::{last_seq, set_site, site_row, site_row_or_new};
use crate::spool::Commit;
use crate::{Result, SiteId};

pub(super) fn write_commit(
    transaction: &Transaction<'_>,
    site: &SiteId,
    commit: &Commit,
) -> Result<(), StoreError> {
    let mut row = site_row_or_new(transaction, site)?;
    let mut counter = Counter::new(transaction, row.id)?;
    let mut chunks = Writer::new(transaction, row.id, last_seq(transaction)? + 1)?;
    let mut uncounted = Uncounted::new(transaction, row.id, commit)?;
    for record in &commit.records {
        let ms = record.time.as_millis();
        let fingerprint = record.fingerprint.as_bytes();
        let n = match uncounted.count(record) {
            Some(n) => n,
            None => counter.count(ms, fingerprint)?,
        };
        if n != record.ordinal {
            return Err(StoreError::Rule(format!(
                "record {} of {} is number {n} of its kind, and was taken for number {}",
                record.fingerprint, record.time, record.ordinal
            )));
        }
        chunks.push(ms, fingerprint, n, &record.line)?;
    }
    row.oldest_waiting = chunks.finish()?.map(Timestamp::from_millis);
    row.watermark = row.watermark.max(Some(commit.watermark));
    let counted_from = row.counted_from.unwrap_or(commit.from);
    row.counted_from = Some(counted_from.max(commit.forget_before));
    if let Some(records) = commit.largest_page {
        row.largest_page = Some(i64::try_from(records).unwrap_or(i64::MAX));
    }
    set_site(transaction, site, &row)?;
    transaction
        .prepare_cached("DELETE FROM ledger WHERE site = ?1 AND ms < ?2")?
        .execute(params![row.id, commit.forget_before.as_millis()])?;
    let mut done = transaction.prepare_cached(
        "INSERT INTO reread (site, step, done) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET done = excluded.done",
    )?;
    for (step, time) in &commit.rereads {
        done.execute(params![row.id, step, time.as_millis()])?;
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
        let old = || {
            commit
                .records
                .iter()
                .map(|new| new.time)
                .filter(|ms| *ms < before)
        };
        let mut counts = HashMap::new();
        if let (Some(from), Some(to)) = (old().min(), old().max()) {
            counts.extend(counts_between(transaction, site, from, to)?);
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

pub(super) fn rewind(
    transaction: &Transaction<'_>,
    site: &SiteId,
    to: Timestamp,
) -> Result<(), StoreError> {
    let Some(mut row) = site_row(transaction, site)? else {
        return Err(StoreError::Rule(format!(
            "the site {site} was never committed"
        )));
    };
    let Some(watermark) = row.watermark else {
        return Err(StoreError::Rule(format!(
            "the site {site} has no watermark"
        )));
    };
    if to >= watermark {
        return Ok(());
    }
    let counted_from = row.counted_from.unwrap_or(watermark);
    if to < counted_from {
        let last = Timestamp::from_millis(counted_from.as_millis().saturating_sub(1));
        count_what_is_spooled(transaction, row.id, to, last)?;
    }
    row.watermark = Some(to);
    row.counted_from = Some(to.min(counted_from));
    set_site(transaction, site, &row)
}

pub(super) fn recount(
    transaction: &Transaction<'_>,
    site: &SiteId,
    from: Option<Timestamp>,
    counts: &Counts,
) -> Result<(), StoreError> {
    let mut row = site_row_or_new(transaction, site)?;
    // What was never read is no reason to begin later than where the reading ended.
    let from = from.map(|from| row.watermark.map_or(from, |read| read.min(from)));
    transaction.execute("DELETE FROM ledger WHERE site = ?1", [row.id])?;
    let begin = from.unwrap_or(Timestamp::from_millis(i64::MIN));
    for ((time, fingerprint), n) in counts {
        if *time >= begin {
            set_count(
                transaction,
                row.id,
                time.as_millis(),
                fingerprint.as_bytes(),
                *n,
            )?;
        }
    }
    (row.watermark, row.counted_from) = (from, from);
    set_site(transaction, site, &row)?;
    let end = Timestamp::from_millis(i64::MAX);
    count_what_is_spooled(transaction, row.id, begin, end)
}

/// What is spooled was committed, however old it is: it must not come a second time.
pub(super) fn count_what_is_spooled(
    transaction: &Connection,
    site: i64,
    from: Timestamp,
    to: Timestamp,
) -> Result<(), StoreError> {
    let mut chunks = transaction.prepare_cached(&format!(
        "SELECT {} FROM chunk WHERE site = ?1",
        Chunk::COLUMNS
    ))?;
    let span = from.as_millis()..=to.as_millis();
    let mut rows = chunks.query([site])?;
    while let Some(row) = rows.next()? {
        for record in Chunk::read(row)?.records()? {
            if span.contains(&record.ms)
                && count_at(transaction, site, record.ms, &record.fingerprint)? < record.ordinal
            {
                let n = record.ordinal;
                set_count(transaction, site, record.ms, &record.fingerprint, n)?;
            }
        }
    }
    Ok(())
}
