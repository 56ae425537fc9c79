//! What waits for outputs: how much it is, who takes it, and that it goes when all have it.

use std::sync::Arc;

use bytes::Bytes;
use confluence_audit_core::Fingerprint;
use rusqlite::{Connection, Transaction, params};

use super::fault::Fault;
use super::rows::output_row;
use super::seal::{RecordRow, is_sealed, output_seal, record_seal};
use super::time;
use crate::output::OutputName;
use crate::spool::{Depth, OutputState, Spooled};
use crate::{Result, SiteId};

/// Free space inside the file above which it is given back after a sweep: one long failure of an
/// output shall not cost its disk space for ever.
pub(super) const KEPT_FREE: i64 = 64 * 1024 * 1024;

pub(super) fn register(
    transaction: &Transaction<'_>,
    output: &OutputName,
) -> Result<OutputState, Fault> {
    transaction
        .prepare_cached(
            "INSERT INTO output (name, seq, seal) VALUES (?1, 0, ?2) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            output.as_str(),
            output_seal(output.as_str(), 0, None)
        ])?;
    output_row(transaction, output)?
        .ok_or_else(|| Fault::Damaged(format!("it does not keep the output {output}")))
}

pub(super) fn pending(
    transaction: &Transaction<'_>,
    output: &OutputName,
    max_records: usize,
    max_bytes: usize,
) -> Result<Vec<Spooled>, Fault> {
    let position = output_row(transaction, output)?
        .ok_or_else(|| Fault::Rule(format!("the output {output} is not registered")))?
        .seq;
    let mut statement = transaction.prepare_cached(
        "SELECT seq, record.site, ms, fingerprint, ordinal, line, record.seal, name
         FROM record JOIN site ON site.id = record.site
         WHERE seq > ?1 ORDER BY seq",
    )?;
    let mut rows = statement.query([position])?;
    let mut pending = Vec::new();
    let mut bytes = 0_usize;
    while pending.len() < max_records
        && let Some(row) = rows.next()?
    {
        let (seq, line): (_, Vec<u8>) = (row.get(0)?, row.get(5)?);
        bytes = bytes.saturating_add(line.len());
        if bytes > max_bytes && !pending.is_empty() {
            break;
        }
        let (ms, fingerprint, ordinal) = (row.get(2)?, row.get(3)?, row.get(4)?);
        let expected = record_seal(&RecordRow {
            seq,
            site: row.get(1)?,
            ms,
            fingerprint: &fingerprint,
            ordinal,
            line: &line,
        });
        if !is_sealed(row, 6, expected)? {
            return Err(Fault::Damaged(format!(
                "record {seq} is not what was written"
            )));
        }
        pending.push(Spooled {
            seq,
            site: SiteId::new(row.get::<_, Arc<str>>(7)?),
            time: time(ms),
            fingerprint: Fingerprint::from_bytes(fingerprint),
            ordinal,
            line: Bytes::from(line),
        });
    }
    Ok(pending)
}

pub(super) fn confirm(
    transaction: &Transaction<'_>,
    output: &OutputName,
    seq: i64,
    checkpoint: &[u8],
) -> Result<(), Fault> {
    let changed = transaction
        .prepare_cached(
            "UPDATE output SET seq = ?2, checkpoint = ?3, seal = ?4
             WHERE name = ?1 AND seq <= ?2 AND ?2 <= (
                 SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'record'
             )",
        )?
        .execute(params![
            output.as_str(),
            seq,
            checkpoint,
            output_seal(output.as_str(), seq, Some(checkpoint))
        ])?;
    if changed != 1 {
        return Err(Fault::Rule(format!(
            "the output {output} is not registered, or cannot have confirmed record {seq} now"
        )));
    }
    let everywhere = transaction
        .prepare_cached("SELECT min(seq) FROM output")?
        .query_row([], |row| row.get(0))?;
    sweep(transaction, everywhere)
}

pub(super) fn retain(transaction: &Transaction<'_>, outputs: &[OutputName]) -> Result<(), Fault> {
    let mut known = transaction.prepare_cached("SELECT name, seq FROM output")?;
    let known: Vec<(OutputName, i64)> = known
        .query_map([], |row| {
            Ok((OutputName::new(row.get::<_, Arc<str>>(0)?), row.get(1)?))
        })?
        .collect::<Result<_, _>>()?;
    for (name, _) in known.iter().filter(|(name, _)| !outputs.contains(name)) {
        transaction
            .prepare_cached("DELETE FROM output WHERE name = ?1")?
            .execute([name.as_str()])?;
    }
    let position = |output: &OutputName| {
        let known = known.iter().find(|(name, _)| name == output);
        known.map_or(0, |(_, seq)| *seq)
    };
    let everywhere = outputs.iter().map(position).min().unwrap_or(0);
    sweep(transaction, everywhere)
}

/// Deletes what every output has.
fn sweep(transaction: &Transaction<'_>, everywhere: i64) -> Result<(), Fault> {
    transaction
        .prepare_cached("DELETE FROM record WHERE seq <= ?1")?
        .execute([everywhere])?;
    give_back_space(transaction)
}

fn give_back_space(transaction: &Transaction<'_>) -> Result<(), Fault> {
    let pragma = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if pragma("freelist_count")?.saturating_mul(pragma("page_size")?) > KEPT_FREE {
        // One page a step, and a row of nothing for each.
        let mut vacuum = transaction.prepare("PRAGMA incremental_vacuum")?;
        let mut pages = vacuum.query([])?;
        while pages.next()?.is_some() {}
    }
    Ok(())
}

/// What has a higher number than `seq`, of one site or of all.
pub(super) fn depth_behind(
    transaction: &Connection,
    seq: i64,
    site: Option<&SiteId>,
) -> Result<Depth, Fault> {
    let depth = transaction
        .prepare_cached(
            "SELECT count(*), coalesce(sum(length(line)), 0) FROM record
             WHERE seq > ?1 AND (?2 IS NULL OR site = (SELECT id FROM site WHERE name = ?2))",
        )?
        .query_row(params![seq, site.map(SiteId::as_str)], |row| {
            Ok(Depth {
                records: row.get::<_, i64>(0)?.unsigned_abs(),
                bytes: row.get::<_, i64>(1)?.unsigned_abs(),
            })
        })?;
    Ok(depth)
}
