//! The one transaction: records, their counts and the watermark; and the way back from it.

use std::ops::Range;

use confluence_audit_core::Timestamp;
use rusqlite::{Connection, Transaction, params};

use super::chunk::{Chunk, Writer};
use super::fault::Fault;
use super::seal::seal_site;
use crate::spool::{Commit, SiteState};
use crate::{Result, SiteId};

pub(super) fn write_commit(
    transaction: &Transaction<'_>,
    site: &SiteId,
    commit: &Commit,
) -> Result<(), Fault> {
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
    seal_site(transaction, id)?;
    let mut count = transaction.prepare_cached(
        "INSERT INTO ledger (site, ms, fingerprint, n) VALUES (?1, ?2, ?3, 1)
         ON CONFLICT DO UPDATE SET n = n + 1 RETURNING n",
    )?;
    let mut chunks = Writer::new(transaction)?;
    chunks.go_on_at(id, last_seq(transaction)? + 1)?;
    for record in &commit.records {
        let ms = record.time.as_millis();
        let fingerprint = record.fingerprint.as_bytes();
        let n: u32 = count.query_row(params![id, ms, fingerprint], |row| row.get(0))?;
        if n != record.ordinal {
            return Err(Fault::Rule(format!(
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

/// The last number that was given out.
pub(super) fn last_seq(transaction: &Connection) -> Result<i64, Fault> {
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
) -> Result<(), Fault> {
    let Some(watermark) = state.watermark else {
        return Err(Fault::Rule(format!("the site {site} has no watermark")));
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
    seal_site(transaction, id)
}

/// What is spooled was committed, however old it is: it must not come a second time.
pub(super) fn count_what_is_spooled(
    transaction: &Connection,
    site: i64,
    span: Range<i64>,
) -> Result<(), Fault> {
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
