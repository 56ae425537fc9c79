//! Whether what a file holds can be what was written: SQLite's own check, and our rules.

use bytes::Bytes;
use confluence_audit_core::{Fingerprint, RawRecord};
use rusqlite::{Connection, OptionalExtension, params};

use super::chunk::Chunk;
use super::commit::last_seq;
use super::error::StoreError;
use super::rows::{address_row, output_names, output_row, site_names, site_row};
use super::time;
use crate::Result;

/// How many contradictions are worth naming.
const NAMED: usize = 100;

/// What SQLite finds broken, and what our own rules do.
pub(super) fn contradictions(transaction: &Connection) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    {
        let mut check = transaction.prepare("PRAGMA integrity_check(100)")?;
        let mut rows = check.query([])?;
        while let Some(row) = rows.next()? {
            let verdict: String = row.get(0)?;
            if verdict != "ok" {
                found.push(verdict);
            }
        }
    }
    if !found.is_empty() {
        // What is said about the rows of a broken file would be noise.
        return Ok(found);
    }
    {
        let mut check = transaction.prepare("PRAGMA foreign_key_check")?;
        let mut rows = check.query([])?;
        while found.len() < NAMED
            && let Some(row) = rows.next()?
        {
            let table: String = row.get(0)?;
            found.push(format!(
                "a row of {table} belongs to a site that is not there"
            ));
        }
    }
    check_rows(transaction, &mut found)?;
    check_positions(transaction, &mut found)?;
    check_records(transaction, &mut found)?;
    found.truncate(NAMED);
    Ok(found)
}

/// The rows from which a wrong number would lose records.
pub(super) fn check_rows(
    transaction: &Connection,
    found: &mut Vec<String>,
) -> Result<(), StoreError> {
    let mut note = |error: StoreError| match error {
        StoreError::Damaged(verdict) => {
            found.push(verdict);
            Ok(())
        }
        other => Err(other),
    };
    for site in site_names(transaction)? {
        match site_row(transaction, &site) {
            Ok(Some((_, state))) if state.watermark.is_some() != state.counted_from.is_some() => {
                note(StoreError::Damaged(format!(
                    "the site {site} has one of watermark and beginning of counts"
                )))?;
            }
            Ok(_) => {}
            Err(error) => note(error)?,
        }
    }
    for output in output_names(transaction)? {
        if let Err(error) = output_row(transaction, &output) {
            note(error)?;
        }
    }
    let addresses: Vec<String> = transaction
        .prepare_cached("SELECT url FROM address ORDER BY url")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for address in addresses {
        if let Err(error) = address_row(transaction, &address) {
            note(error)?;
        }
    }
    Ok(())
}

/// A number that is given out again would be behind an output that stands there already.
pub(super) fn check_positions(
    transaction: &Connection,
    found: &mut Vec<String>,
) -> Result<(), StoreError> {
    let last = last_seq(transaction)?;
    let mut check = transaction.prepare(
        "SELECT 'the output ' || name, seq FROM output WHERE seq > ?1 OR seq < 0
         UNION ALL SELECT 'a record', max(last) FROM chunk HAVING max(last) > ?1",
    )?;
    let mut rows = check.query([last])?;
    while let Some(row) = rows.next()? {
        let (what, seq): (String, i64) = (row.get(0)?, row.get(1)?);
        found.push(format!(
            "{what} stands at {seq}, and the last number given out is {last}"
        ));
    }
    // It would never be asked for, so that nobody would see that its number is another one.
    let mut check = transaction.prepare(
        "SELECT min(last), (SELECT min(seq) FROM output) AS everywhere FROM chunk
         HAVING min(last) <= everywhere",
    )?;
    let mut rows = check.query([])?;
    if let Some(row) = rows.next()? {
        let (last, everywhere): (i64, i64) = (row.get(0)?, row.get(1)?);
        found.push(format!(
            "record {last} is there, and every output is at {everywhere} or beyond"
        ));
    }
    Ok(())
}

fn check_records(transaction: &Connection, found: &mut Vec<String>) -> Result<(), StoreError> {
    let mut check = transaction.prepare(&format!(
        "SELECT {}, counted_from FROM chunk LEFT JOIN site ON site.id = chunk.site ORDER BY last",
        Chunk::COLUMNS
    ))?;
    let mut count = transaction
        .prepare("SELECT n FROM ledger WHERE site = ?1 AND ms = ?2 AND fingerprint = ?3")?;
    let mut rows = check.query([])?;
    let mut end = 0;
    while found.len() < NAMED
        && let Some(row) = rows.next()?
    {
        let chunk = match Chunk::read(row) {
            Err(StoreError::Damaged(verdict)) => {
                found.push(verdict);
                continue;
            }
            chunk => chunk?,
        };
        let counted_from: Option<i64> = row.get(7)?;
        if chunk.first <= end {
            found.push(format!("there are two records {}", chunk.first));
        }
        end = chunk.last;
        for record in chunk.records()? {
            let (seq, ms) = (record.seq, record.ms);
            if let Some(problem) = line_problem(ms, record.fingerprint, &record.line) {
                found.push(format!("record {seq} of {}: {problem}", time(ms)));
            }
            if counted_from.is_none_or(|from| ms < from) {
                continue;
            }
            let n: Option<u32> = count
                .query_row(params![chunk.site, ms, record.fingerprint], |row| {
                    row.get(0)
                })
                .optional()?;
            if n.unwrap_or(0) < record.ordinal {
                found.push(format!(
                    "record {seq} of {} is copy {}, and {} were counted",
                    time(ms),
                    record.ordinal,
                    n.unwrap_or(0)
                ));
            }
        }
    }
    Ok(())
}

/// Why a record's line cannot be what was committed under this time and fingerprint.
pub(super) fn line_problem(
    ms: i64,
    fingerprint: [u8; Fingerprint::LEN],
    line: &Bytes,
) -> Option<&'static str> {
    let Ok(record) = RawRecord::parse(line.clone()) else {
        return Some("its line is not JSON");
    };
    if record.fingerprint() != Fingerprint::from_bytes(fingerprint) {
        return Some("its line has another fingerprint");
    }
    match record.time() {
        Some(told) if told != time(ms) => Some("its line tells another time"),
        _ => None,
    }
}
