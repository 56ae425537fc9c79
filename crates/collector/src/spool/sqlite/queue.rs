//! What waits for outputs: how much it is, who takes it, and that it goes when all have it.

use std::sync::Arc;

use confluence_audit_core::{Fingerprint, Timestamp};
use rusqlite::{Connection, Transaction, params};

use super::chunk::{Chunk, delete_up_to, delete_what_all_have};
use super::connection::{KEPT_FREE, vacuum};
use super::error::StoreError;
use super::rows::{
    addresses, last_seq, output_names, output_row, set_output, site_names, site_row, site_state,
};
use crate::output::OutputName;
use crate::spool::{Depth, OutputOverview, OutputState, Overview, Pending, SiteOverview, Spooled};
use crate::{Result, SiteId};

pub(super) fn register(
    transaction: &Transaction<'_>,
    output: &OutputName,
) -> Result<OutputState, StoreError> {
    if let Some(state) = output_row(transaction, output)? {
        return Ok(state);
    }
    let state = OutputState {
        seq: 0,
        checkpoint: None,
    };
    set_output(transaction, output, &state)?;
    Ok(state)
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
    // A new output begins with whatever is there; from then on no number is left out.
    let mut expected = (position > 0).then_some(position.saturating_add(1));
    while let Some(row) = rows.next()? {
        let chunk = Chunk::read(row)?;
        let site = SiteId::new(row.get::<_, Arc<str>>(7)?);
        for record in chunk.records()? {
            if record.seq <= position {
                continue;
            }
            if let Some(expected) = expected.filter(|expected| *expected != record.seq) {
                return Err(StoreError::Damaged(format!(
                    "record {expected} should come next, and it is {}",
                    record.seq
                )));
            }
            expected = Some(record.seq.saturating_add(1));
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
                time: Timestamp::from_millis(record.ms),
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
    let known = output_row(transaction, output)?;
    if known.is_none_or(|known| seq < known.seq) || seq > last_seq(transaction)? {
        return Err(StoreError::Rule(format!(
            "the output {output} is not registered, or cannot have confirmed record {seq} now"
        )));
    }
    let state = OutputState {
        seq,
        checkpoint: Some(checkpoint.to_vec()),
    };
    set_output(transaction, output, &state)?;
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

/// Everything but the size, which only the file system knows.
pub(super) fn overview(transaction: &Transaction<'_>) -> Result<Overview, StoreError> {
    let mut overview = Overview {
        schema_version: transaction.pragma_query_value(None, "user_version", |row| row.get(0))?,
        size: 0,
        depth: depth_behind(transaction, i64::MIN, None)?,
        ..Overview::default()
    };
    for id in site_names(transaction)? {
        let Some(row) = site_row(transaction, &id)? else {
            continue;
        };
        let counts: i64 = transaction
            .prepare_cached("SELECT count(*) FROM ledger WHERE site = ?1")?
            .query_row([row.id], |row| row.get(0))?;
        overview.sites.push(SiteOverview {
            addresses: addresses(transaction, Some(&id))?,
            state: site_state(transaction, &id)?,
            counts: counts.unsigned_abs(),
            id,
        });
    }
    for name in output_names(transaction)? {
        let Some(OutputState { seq, .. }) = output_row(transaction, &name)? else {
            continue;
        };
        let waiting = depth_behind(transaction, seq, None)?;
        overview.outputs.push(OutputOverview { name, seq, waiting });
    }
    Ok(overview)
}
