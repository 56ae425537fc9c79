//! From a damaged database into an empty one: each table that reads whole is kept, and what follows
//! from those that do not is done and reported.

use confluence_audit_core::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::report::Recovered;
use crate::Result;
use crate::spool::sqlite::check::{
    check_addresses, check_counts, check_numbers, check_outputs, check_pages, check_records,
    check_sites,
};
use crate::spool::sqlite::commit::count_what_is_spooled;
use crate::spool::sqlite::error::StoreError;
use crate::spool::sqlite::queue::depth_behind;
use crate::spool::sqlite::rows::{
    last_seq, output_names, output_row, set_output, set_site, site_names, site_row,
};

/// A check of a table: it notes what is wrong.
type Check = fn(&Connection, &mut Vec<String>) -> Result<(), StoreError>;

/// A row of these tables belongs to a site.
const OF_KNOWN_SITES: &str = "site NOT IN (SELECT id FROM site)";

/// Copies what is whole in `source` into the empty spool `target`.
pub(super) fn keep_what_is_whole(
    source: &Connection,
    target: &Connection,
) -> Result<Recovered, StoreError> {
    let copy = |table| copy_rows(source, target, table);
    let mut done = Recovered::default();

    let has_sites = is_whole(source, "site", check_sites);
    let has_outputs = is_whole(source, "output", check_outputs);
    let has_counts = has_sites && is_whole(source, "ledger", check_counts);
    let mut has_records = has_sites && is_whole(source, "chunk", check_records);
    let sequence = if is_whole(source, "sqlite_sequence", |_, _| Ok(())) {
        last_seq(source).ok().filter(|last| *last >= 0)
    } else {
        None
    };

    if has_sites {
        done.sites = copy("site")?;
    } else {
        done.lost.push(
            "how far all sites were read: the next run begins with the first record that each \
             retains, and delivers again what was delivered"
                .to_owned(),
        );
    }
    // A time of reading again that is lost is taken once more, which delivers nothing twice, and
    // an address is looked up again.
    if has_sites && is_whole(source, "reread", |_, _| Ok(())) {
        copy("reread")?;
    }
    if is_whole(source, "address", check_addresses) {
        copy("address")?;
    }
    if has_outputs {
        done.outputs = copy("output")?;
    } else {
        done.lost.push(
            "the positions of all outputs: each gets again everything that is still spooled"
                .to_owned(),
        );
    }
    if has_counts {
        done.counts = copy("ledger")?;
    } else if has_sites {
        done.lost
            .push("all counts: what is read again of the last days is delivered again".to_owned());
    }
    if has_records {
        copy("chunk")?;
    }

    let end = last_number(target, sequence)?;
    set_last_seq(target, end)?;
    let mut gaps = Vec::new();
    check_numbers(target, &mut gaps)?;
    if has_records && !gaps.is_empty() {
        target.execute("DELETE FROM chunk", [])?;
        has_records = false;
    }
    if has_records {
        done.records = depth_behind(target, i64::MIN, None)?.records;
    } else {
        let behind = (has_outputs && sequence.is_some())
            .then(|| first_position(target))
            .transpose()?
            .map(|first| end.saturating_sub(first));
        lose_records(target, end, behind, has_sites, &mut done.lost)?;
    }
    for site in site_names(target)? {
        if let Some(row) = site_row(target, &site)? {
            let from = row.counted_from.unwrap_or(at(i64::MIN));
            count_what_is_spooled(target, row.id, from, at(i64::MAX))?;
        }
    }
    Ok(done)
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Whether every row of a table can be read and is what was written.
fn is_whole(source: &Connection, table: &str, check: Check) -> bool {
    let mut wrong = Vec::new();
    let checked = check_pages(source, Some(table), &mut wrong)
        .and_then(|()| check(source, &mut wrong))
        .and_then(|()| match table {
            "reread" | "ledger" | "chunk" => check_site_numbers(source, table, &mut wrong),
            _ => Ok(()),
        });
    checked.is_ok() && wrong.is_empty()
}

fn check_site_numbers(
    source: &Connection,
    table: &str,
    wrong: &mut Vec<String>,
) -> Result<(), StoreError> {
    let sql = format!("SELECT count(*) FROM {table} WHERE {OF_KNOWN_SITES}");
    let strays: i64 = source.query_row(&sql, [], |row| row.get(0))?;
    if strays > 0 {
        wrong.push(format!("rows of {table} belong to no site"));
    }
    Ok(())
}

/// Copies all rows of a table; how many there were.
fn copy_rows(source: &Connection, target: &Connection, table: &str) -> Result<u64, StoreError> {
    let mut select = source.prepare(&format!("SELECT * FROM {table}"))?;
    let columns = select.column_count();
    let values = vec!["?"; columns].join(", ");
    let mut insert = target.prepare(&format!("INSERT INTO {table} VALUES ({values})"))?;
    let mut rows = select.query([])?;
    let mut copied = 0;
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| row.get::<_, Value>(column));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        insert.execute(params_from_iter(values))?;
        copied += 1;
    }
    Ok(copied)
}

/// The last number that was given to a record, as far as anything that is kept tells.
fn last_number(target: &Connection, sequence: Option<i64>) -> Result<i64, StoreError> {
    let known: i64 = target.query_row(
        "SELECT max(coalesce((SELECT max(seq) FROM output), 0),
                    coalesce((SELECT max(last) FROM chunk), 0))",
        [],
        |row| row.get(0),
    )?;
    Ok(known.max(sequence.unwrap_or(0)))
}

/// Has the next record get the number behind `last`.
fn set_last_seq(target: &Connection, last: i64) -> Result<(), StoreError> {
    target.execute("DELETE FROM sqlite_sequence WHERE name = 'chunk'", [])?;
    target.execute(
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('chunk', ?1)",
        [last],
    )?;
    Ok(())
}

/// The position of the output that is furthest behind.
fn first_position(target: &Connection) -> Result<i64, StoreError> {
    let first = target.query_row("SELECT coalesce(min(seq), 0) FROM output", [], |row| {
        row.get(0)
    })?;
    Ok(first)
}

/// What waited is lost: `behind` records, where that is known. Every site is read again from before
/// the oldest of them on, and the counts that would keep them from being delivered are forgotten.
fn lose_records(
    target: &Connection,
    end: i64,
    behind: Option<i64>,
    has_sites: bool,
    lost: &mut Vec<String>,
) -> Result<(), StoreError> {
    // Every output goes on behind the last number: nothing before it is there any more.
    for output in output_names(target)? {
        if let Some(mut state) = output_row(target, &output)? {
            state.seq = end;
            set_output(target, &output, &state)?;
        }
    }
    if behind == Some(0) {
        return Ok(());
    }
    lost.push(match behind {
        Some(records) => format!("up to {records} records that some output had not got"),
        None => "perhaps records that some output had not got".to_owned(),
    });
    if !has_sites {
        return Ok(());
    }
    let names = site_names(target)?;
    let mut rows: Vec<_> = Vec::new();
    for name in &names {
        rows.extend(site_row(target, name)?.map(|row| (name, row)));
    }
    // Each site notes what waited after its own last commit; that of the last one covers all.
    let to = rows.iter().filter_map(|(_, row)| row.oldest_waiting).min();
    lost.push(match to {
        Some(to) => format!(
            "therefore all sites are read again from {to} on, and what outputs have of that time \
             is delivered a second time"
        ),
        None => "therefore all sites are read again from their first record on, and what outputs \
                 have is delivered a second time"
            .to_owned(),
    });
    let from = to.map_or(i64::MIN, Timestamp::as_millis);
    target.execute("DELETE FROM ledger WHERE ms >= ?1", [from])?;
    for (name, mut row) in rows {
        // Without a watermark the next run is a first one.
        row.watermark = to.and_then(|to| row.watermark.map(|read| read.min(to)));
        row.counted_from = to.and_then(|to| row.counted_from.map(|from| from.min(to)));
        row.oldest_waiting = None;
        set_site(target, name, &row)?;
    }
    Ok(())
}
