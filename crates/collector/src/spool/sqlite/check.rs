//! Whether what a file holds can be what was written: SQLite's own check, and our rules.

use bytes::Bytes;
use confluence_audit_core::read::is_possible_time;
use confluence_audit_core::{Fingerprint, RawRecord, Timestamp};
use rusqlite::Connection;

use super::chunk::Chunk;
use super::counts::{self, count_at};
use super::error::StoreError;
use super::rows::{
    address_row, addresses, last_seq, output_names, output_row, site_names, site_row,
};
use crate::Result;

/// How many contradictions are worth naming.
const NAMED: usize = 100;

/// The tables whose every page is looked at whenever the spool is opened: a page that has
/// forgotten a part of itself is read without a word. The counts are the other one. They are
/// large, and what is missing there comes twice.
pub(super) const SMALL_TABLES: [&str; 6] = [
    "site",
    "reread",
    "output",
    "address",
    "chunk",
    "sqlite_sequence",
];

/// What SQLite finds broken in the whole file, and what our own rules do.
pub(super) fn contradictions(transaction: &Connection) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    check_pages(transaction, None, &mut found)?;
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
    check_numbers(transaction, &mut found)?;
    check_counts(transaction, &mut found)?;
    check_records(transaction, &mut found)?;
    if found.is_empty() {
        check_that_records_are_counted(transaction, &mut found)?;
    }
    found.truncate(NAMED);
    Ok(found)
}

/// What SQLite finds broken in one table, or in the whole file.
pub(super) fn check_pages(
    connection: &Connection,
    table: Option<&str>,
    found: &mut Vec<String>,
) -> Result<(), StoreError> {
    let mut check = connection.prepare(&match table {
        Some(table) => format!("PRAGMA integrity_check('{table}')"),
        None => format!("PRAGMA integrity_check({NAMED})"),
    })?;
    let mut rows = check.query([])?;
    while let Some(row) = rows.next()? {
        let verdict: String = row.get(0)?;
        if verdict != "ok" {
            found.push(verdict);
        }
    }
    Ok(())
}

/// Notes what is damaged, and passes on every other error.
fn note<T>(result: Result<T, StoreError>, found: &mut Vec<String>) -> Result<(), StoreError> {
    match result {
        Ok(_) => Ok(()),
        Err(StoreError::Damaged(verdict)) => {
            found.push(verdict);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The few rows from which a wrong number would lose records.
pub(super) fn check_rows(
    connection: &Connection,
    found: &mut Vec<String>,
) -> Result<(), StoreError> {
    check_sites(connection, found)?;
    check_outputs(connection, found)?;
    check_addresses(connection, found)
}

pub(super) fn check_sites(
    connection: &Connection,
    found: &mut Vec<String>,
) -> Result<(), StoreError> {
    for site in site_names(connection)? {
        match site_row(connection, &site) {
            Ok(Some(row)) if row.watermark.is_some() != row.counted_from.is_some() => {
                found.push(format!(
                    "the site {site} has one of watermark and beginning of counts"
                ));
            }
            result => note(result, found)?,
        }
    }
    Ok(())
}

pub(super) fn check_outputs(
    connection: &Connection,
    found: &mut Vec<String>,
) -> Result<(), StoreError> {
    for output in output_names(connection)? {
        note(output_row(connection, &output), found)?;
    }
    Ok(())
}

pub(super) fn check_addresses(
    connection: &Connection,
    found: &mut Vec<String>,
) -> Result<(), StoreError> {
    for address in addresses(connection, None)? {
        note(address_row(connection, &address), found)?;
    }
    Ok(())
}

/// Numbers are given out one after the other and never again, and records go in their order. So
/// every one from the first that an output lacks to the last has to be there, and none that every
/// output has: that one would never be asked for, and nobody would see that it has another number.
pub(super) fn check_numbers(
    connection: &Connection,
    found: &mut Vec<String>,
) -> Result<(), StoreError> {
    let last_given = last_seq(connection)?;
    let mut check = connection
        .prepare("SELECT name, seq FROM output WHERE seq > ?1 OR seq < 0 ORDER BY name")?;
    let mut rows = check.query([last_given])?;
    while let Some(row) = rows.next()? {
        let (name, seq): (String, i64) = (row.get(0)?, row.get(1)?);
        found.push(format!(
            "the output {name} stands at {seq}, and the last number given out is {last_given}"
        ));
    }
    let position = |sql| connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
    let everywhere = position("SELECT min(seq) FROM output")?.unwrap_or(0);
    // One that stands at 0 is new: it gets what happens to be there.
    let begun = position("SELECT min(seq) FROM output WHERE seq > 0")?;
    let mut next = begun.map(|seq| seq.saturating_add(1));
    let mut before: Option<i64> = None;
    let mut check = connection.prepare("SELECT first, last FROM chunk ORDER BY last")?;
    let mut rows = check.query([])?;
    while let Some(row) = rows.next()? {
        let (first, last): (i64, i64) = (row.get(0)?, row.get(1)?);
        if last <= everywhere {
            found.push(format!(
                "record {last} is there, and every output is at {everywhere} or beyond"
            ));
        }
        if before.is_some_and(|before| first <= before) {
            found.push(format!("there are two records {first}"));
        }
        if let Some(next) = next.filter(|next| *next < first) {
            found.push(format!("records {next} to {} are not there", first - 1));
        }
        (before, next) = (Some(last), Some(last.saturating_add(1)));
    }
    if let Some(next) = next.filter(|next| *next <= last_given) {
        found.push(format!("records {next} to {last_given} are not there"));
    }
    if let Some(last) = before.filter(|last| *last > last_given) {
        found.push(format!(
            "a record stands at {last}, and the last number given out is {last_given}"
        ));
    }
    Ok(())
}

pub(super) fn check_counts(
    connection: &Connection,
    found: &mut Vec<String>,
) -> Result<(), StoreError> {
    // SQLite's own check sees to it that the others are 1.
    let mut check = connection.prepare(
        "SELECT site, ms, fingerprint, n, checksum FROM ledger
         WHERE n != 1 OR checksum IS NOT NULL",
    )?;
    let mut rows = check.query([])?;
    while found.len() < NAMED
        && let Some(row) = rows.next()?
    {
        note(counts::read(row), found)?;
    }
    Ok(())
}

pub(super) fn check_records(
    connection: &Connection,
    found: &mut Vec<String>,
) -> Result<(), StoreError> {
    let mut check = connection.prepare(&format!(
        "SELECT {} FROM chunk ORDER BY last",
        Chunk::COLUMNS
    ))?;
    let mut rows = check.query([])?;
    while found.len() < NAMED
        && let Some(row) = rows.next()?
    {
        let records = Chunk::read(row).and_then(|chunk| chunk.records());
        let Ok(records) = &records else {
            note(records, found)?;
            continue;
        };
        for record in records {
            if let Some(problem) = line_problem(record.ms, record.fingerprint, &record.line) {
                let time = Timestamp::from_millis(record.ms);
                found.push(format!("record {} of {time}: {problem}", record.seq));
            }
        }
    }
    Ok(())
}

/// What waits was committed, and so was counted, as far back as counts are kept.
fn check_that_records_are_counted(
    connection: &Connection,
    found: &mut Vec<String>,
) -> Result<(), StoreError> {
    let mut check = connection.prepare(&format!(
        "SELECT {}, counted_from FROM chunk LEFT JOIN site ON site.id = chunk.site ORDER BY last",
        Chunk::COLUMNS
    ))?;
    let mut rows = check.query([])?;
    while found.len() < NAMED
        && let Some(row) = rows.next()?
    {
        let chunk = Chunk::read(row)?;
        let counted_from: Option<i64> = row.get(7)?;
        for record in chunk.records()? {
            if counted_from.is_none_or(|from| record.ms < from) {
                continue;
            }
            let n = count_at(connection, chunk.site, record.ms, &record.fingerprint)?;
            if n < record.ordinal {
                found.push(format!(
                    "record {} of {} is copy {}, and {n} were counted",
                    record.seq,
                    Timestamp::from_millis(record.ms),
                    record.ordinal,
                ));
            }
        }
    }
    Ok(())
}

/// Why a record's line cannot be what was committed under this time and fingerprint.
fn line_problem(
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
        // One that cannot be is filed under that of a neighbour.
        Some(time) if is_possible_time(time) && time != Timestamp::from_millis(ms) => {
            Some("its line has another time")
        }
        _ => None,
    }
}
