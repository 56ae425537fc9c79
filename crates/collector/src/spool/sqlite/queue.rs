//! What waits for outputs: how much it is, who takes it, and that it goes when all have it.

use std::sync::Arc;

use confluence_audit_core::Fingerprint;
use rusqlite::{Connection, Transaction, params};

use super::checksum::output_checksum;
use super::chunk::{Chunk, delete_up_to, delete_what_all_have};
use super::error::StoreError;
use super::rows::output_row;
use super::store::vacuum;
use super::time;
use crate::output::OutputName;
use crate::spool::{Depth, OutputState, Pending, Spooled};
use crate::{Result, SiteId};

/// Free space inside the file above which it is given back after a sweep: one long failure of an
/// output shall not cost its disk space for ever.
pub(super) const KEPT_FREE: i64 = 64 * 1024 * 1024;

pub(super) fn register(
    transaction: &Transaction<'_>,
    output: &OutputName,
) -> Result<OutputState, StoreError> {
    transaction
        .prepare_cached(
            "INSERT INTO output (name, seq, checksum) VALUES (?1, 0, ?2) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            output.as_str(),
            output_checksum(output.as_str(), 0, None)
        ])?;
    output_row(transaction, output)?
        .ok_or_else(|| StoreError::Damaged(format!("it does not keep the output {output}")))
}

pub(super) fn pending(
    transaction: &Transaction<'_>,
    output: &OutputName,
    max_records: usize,
    max_bytes: usize,
) -> Result<Pending, StoreError> {
    let position = output_row(transaction, output)?
        .ok_or_else(|| StoreError::Rule(format!("the output {output} is not registered")))?
        .seq;
    // A chunk whose site is not there is damaged, and must not go unseen.
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT {}, name FROM chunk LEFT JOIN site ON site.id = chunk.site
         WHERE last > ?1 ORDER BY last",
        Chunk::COLUMNS
    ))?;
    let mut rows = statement.query([position])?;
    let mut pending = Pending::default();
    let mut bytes = 0_usize;
    while let Some(row) = rows.next()? {
        let chunk = Chunk::read(row)?;
        let site = SiteId::new(row.get::<_, Arc<str>>(7)?);
        for record in chunk.records()? {
            if record.seq <= position {
                continue;
            }
            bytes = bytes.saturating_add(record.line.len());
            let records = &mut pending.records;
            let is_full = records.len() >= max_records || bytes > max_bytes;
            if is_full && !records.is_empty() {
                pending.is_cut = true;
                return Ok(pending);
            }
            records.push(Spooled {
                seq: record.seq,
                site: site.clone(),
                time: time(record.ms),
                fingerprint: Fingerprint::from_bytes(record.fingerprint),
                ordinal: record.ordinal,
                line: record.line,
            });
        }
    }
    Ok(pending)
}

pub(super) fn confirm(
    transaction: &Transaction<'_>,
    output: &OutputName,
    seq: i64,
    checkpoint: &[u8],
) -> Result<(), StoreError> {
    let changed = transaction
        .prepare_cached(
            "UPDATE output SET seq = ?2, checkpoint = ?3, checksum = ?4
             WHERE name = ?1 AND seq <= ?2 AND ?2 <= (
                 SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'chunk'
             )",
        )?
        .execute(params![
            output.as_str(),
            seq,
            checkpoint,
            output_checksum(output.as_str(), seq, Some(checkpoint))
        ])?;
    if changed != 1 {
        return Err(StoreError::Rule(format!(
            "the output {output} is not registered, or cannot have confirmed record {seq} now"
        )));
    }
    delete_what_all_have(transaction)?;
    give_back_space(transaction)
}

pub(super) fn retain(
    transaction: &Transaction<'_>,
    outputs: &[OutputName],
) -> Result<(), StoreError> {
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
    delete_up_to(transaction, everywhere)?;
    give_back_space(transaction)
}

fn give_back_space(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let pragma = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if pragma("freelist_count")?.saturating_mul(pragma("page_size")?) > KEPT_FREE {
        vacuum(transaction)?;
    }
    Ok(())
}

/// What has a higher number than `seq`, of one site or of all.
pub(super) fn depth_behind(
    transaction: &Connection,
    seq: i64,
    site: Option<&SiteId>,
) -> Result<Depth, StoreError> {
    let mut depth = transaction
        .prepare_cached(
            "SELECT coalesce(sum(last - first + 1), 0), coalesce(sum(bytes), 0) FROM chunk
             WHERE last > ?1 AND (?2 IS NULL OR site = (SELECT id FROM site WHERE name = ?2))",
        )?
        .query_row(params![seq, site.map(SiteId::as_str)], |row| {
            Ok(Depth {
                records: row.get::<_, i64>(0)?.unsigned_abs(),
                bytes: row.get::<_, i64>(1)?.unsigned_abs(),
            })
        })?;
    // Of the chunk that `seq` stands in, a part is not behind it.
    let mut partly = transaction.prepare_cached(&format!(
        "SELECT {} FROM chunk
         WHERE last = (SELECT min(last) FROM chunk WHERE last > ?1) AND first <= ?1
         AND (?2 IS NULL OR site = (SELECT id FROM site WHERE name = ?2))",
        Chunk::COLUMNS
    ))?;
    let mut rows = partly.query(params![seq, site.map(SiteId::as_str)])?;
    if let Some(row) = rows.next()? {
        let records = Chunk::read(row)?.records()?;
        for record in records.iter().filter(|record| record.seq <= seq) {
            depth.records -= 1;
            depth.bytes -= record.line.len() as u64;
        }
    }
    Ok(depth)
}
