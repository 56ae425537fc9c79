//! What waited: the positions of outputs and the records behind them, and how far back to read
//! where some of those are lost.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use confluence_audit_core::Timestamp;
use rusqlite::{Connection, Row, params};

use super::{Salvage, Site};
use crate::Result;
use crate::spool::sqlite::check::line_problem;
use crate::spool::sqlite::checksum::{
    RecordRow, matches, output_checksum, record_checksum, write_site_checksum,
};
use crate::spool::sqlite::chunk::{Chunk, Stored};
use crate::spool::sqlite::error::StoreError;
use crate::spool::sqlite::recover::read::{read_from_both_ends, read_span};
use confluence_audit_core::read::lookback::{Lookback, longest};

/// Stands in for an output whose position is lost.
const LOST: &str = "(an output whose position was lost)";

impl Salvage<'_> {
    pub(super) fn outputs(&mut self) -> Result<Outputs, StoreError> {
        let has_checksum = if self.has_checksum { ", checksum" } else { "" };
        let mut found: BTreeMap<String, (i64, Option<Vec<u8>>)> = BTreeMap::new();
        let mut unsure = BTreeSet::new();
        let rows = format!("SELECT name, seq, checkpoint{has_checksum} FROM output ORDER BY name");
        let has_checksum = self.has_checksum;
        let complete = read_from_both_ends(self.source, &rows, &mut |row| {
            let (Ok(name), Ok(seq), Ok(checkpoint)) = (
                row.get::<_, String>(0),
                row.get::<_, i64>(1),
                row.get::<_, Option<Vec<u8>>>(2),
            ) else {
                return Ok(false);
            };
            let checksum = output_checksum(&name, seq, checkpoint.as_deref());
            let good = has_checksum && matches(row, 3, checksum).unwrap_or(false);
            if good || !has_checksum && seq >= 0 {
                found.insert(name, (seq, checkpoint));
            } else {
                unsure.insert(name);
            }
            Ok(true)
        })?
        .complete;
        for (name, (seq, checkpoint)) in &found {
            self.target.execute(
                "INSERT INTO output (name, seq, checkpoint, checksum) VALUES (?1, ?2, ?3, ?4)",
                params![
                    name,
                    seq,
                    checkpoint,
                    output_checksum(name, *seq, checkpoint.as_deref())
                ],
            )?;
            self.done.outputs += 1;
        }
        unsure.retain(|name| !found.contains_key(name));
        let names: Vec<String> = unsure.into_iter().collect();
        let complete = complete && names.is_empty();
        if !complete {
            let which = if names.is_empty() {
                "perhaps of an output that `state show` does not name".to_owned()
            } else {
                names.join(", ")
            };
            self.lost(format!(
                "a position ({which}): that output gets again everything that is still spooled"
            ));
        }
        if !complete {
            // What the lost one may not have is kept until the next run knows its outputs.
            self.target.execute(
                "INSERT OR IGNORE INTO output (name, seq, checksum) VALUES (?1, 0, ?2)",
                params![LOST, output_checksum(LOST, 0, None)],
            )?;
        }
        let positions = || found.values().map(|(seq, _)| *seq);
        Ok(Outputs {
            complete,
            first: positions().min(),
            last: positions().max(),
        })
    }

    pub(super) fn records(
        &mut self,
        sites: &BTreeMap<i64, Site>,
        last: Option<i64>,
    ) -> Result<Records, StoreError> {
        let (mut times, mut lows) = (BTreeMap::new(), BTreeMap::new());
        let (has_checksum, source) = (self.has_checksum, self.source);
        let (target, done) = (self.target, &mut self.done);
        let mut keep = |site: i64, record: &Stored| {
            let whole = line_problem(record.ms, record.fingerprint, &record.line).is_none();
            if !whole || !sites.contains_key(&site) || record.ordinal == 0 {
                return Ok(false);
            }
            let mut insert = target.prepare_cached(
                "INSERT OR IGNORE INTO record (seq, site, ms, fingerprint, ordinal, line)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            done.records += insert.execute(params![
                record.seq,
                site,
                record.ms,
                record.fingerprint,
                record.ordinal,
                &record.line[..]
            ])? as u64;
            times.insert(record.seq, record.ms);
            Ok::<_, StoreError>(true)
        };
        let mut take_row = |seq: i64, row: &Row<'_>| {
            let (Ok(site), Ok(ms), Ok(fingerprint), Ok(ordinal), Ok(line)) = (
                row.get::<_, i64>(1),
                row.get::<_, i64>(2),
                row.get::<_, [u8; 20]>(3),
                row.get::<_, u32>(4),
                row.get::<_, Vec<u8>>(5),
            ) else {
                return Ok(false);
            };
            let line = Bytes::from(line);
            let checksum = record_checksum(&RecordRow {
                seq,
                site,
                ms,
                fingerprint: &fingerprint,
                ordinal,
                line: &line,
            });
            if has_checksum && !matches(row, 6, checksum).unwrap_or(false) {
                return Ok(false);
            }
            let record = Stored {
                seq,
                ms,
                fingerprint,
                ordinal,
                line,
            };
            keep(site, &record)
        };
        let complete = if self.chunked {
            let sql = format!(
                "SELECT {} FROM chunk NOT INDEXED WHERE last BETWEEN ?1 AND ?2 ORDER BY last",
                Chunk::COLUMNS
            );
            Self::read_in_numbers(source, &sql, last, &mut |_, row| {
                let Ok(chunk) = Chunk::read(row) else {
                    return Ok(false);
                };
                let Ok(records) = chunk.records() else {
                    return Ok(false);
                };
                lows.insert(chunk.first, chunk.low);
                let mut whole = true;
                for record in &records {
                    whole &= keep(chunk.site, record)?;
                }
                Ok(whole)
            })?
        } else {
            let sql = format!(
                "SELECT seq, site, ms, fingerprint, ordinal, line{} FROM record NOT INDEXED
                 WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq",
                if has_checksum { ", checksum" } else { "" }
            );
            Self::read_in_numbers(source, &sql, last, &mut take_row)?
        };
        Ok(Records {
            complete,
            last: times.keys().next_back().copied(),
            times,
            lows,
        })
    }

    /// Reads all rows whose key is a record's number.
    fn read_in_numbers(
        source: &Connection,
        sql: &str,
        last: Option<i64>,
        take: &mut dyn FnMut(i64, &Row<'_>) -> Result<bool, StoreError>,
    ) -> Result<bool, StoreError> {
        // Numbers are given out one after the other, so a generous end does no harm.
        let end = last.unwrap_or(0).saturating_add(1 << 24);
        let behind = (end.saturating_add(1), i64::MAX);
        let complete = read_span(source, sql, (1, end), take)?.complete;
        Ok(read_span(source, sql, behind, take)?.complete && complete)
    }

    /// Where records are lost that some output had not got, takes every site back to before
    /// them, and forgets the counts that would keep them from being delivered.
    pub(super) fn read_again(
        &mut self,
        sites: &BTreeMap<i64, Site>,
        outputs: &Outputs,
        records: &Records,
        last: Option<i64>,
    ) -> Result<(), StoreError> {
        let end = last.or(records.last.max(outputs.last)).unwrap_or(0);
        // Up to here every output has everything.
        let first = records.times.keys().next().copied();
        let everywhere = match (outputs.first, first) {
            (Some(first), _) if outputs.complete => first,
            (_, Some(first)) => first.saturating_sub(1),
            // All were swept away.
            (_, None) if records.complete => end,
            (_, None) => 0,
        };
        let waiting = records.times.range(everywhere.saturating_add(1)..);
        let saved = i64::try_from(waiting.clone().count()).unwrap_or(i64::MAX);
        // Numbers have no gaps. A page that has forgotten a part of itself is read without a word,
        // so it is they that tell, not only whether the reading failed.
        let missing = end.saturating_sub(everywhere).saturating_sub(saved).max(0);
        let unsure = !records.complete && (last.is_none() || !outputs.complete);
        if missing == 0 && !unsure {
            return Ok(());
        }
        // A chunk tells of all that waited before it. Where none follows what is missing, its
        // neighbours tell about when it was; a record that came late has newer neighbours.
        let late = longest(&Lookback::default_schedule());
        let near = |ms: i64| Timestamp::from_millis(ms).saturating_sub(late);
        let mut before: Option<i64> = records
            .times
            .range(..=everywhere)
            .next_back()
            .map(|(_, ms)| *ms);
        let mut expected = everywhere.saturating_add(1);
        let mut to: Option<Timestamp> = None;
        for (seq, ms) in waiting {
            if *seq != expected {
                let oldest = match records.lows.get(seq) {
                    Some(low) => Some(Timestamp::from_millis(*low)),
                    None => before.map(near).into_iter().chain([near(*ms)]).min(),
                };
                to = to.into_iter().chain(oldest).min();
            }
            (before, expected) = (Some(*ms), seq.saturating_add(1));
        }
        if expected <= end || unsure {
            to = to.into_iter().chain(before.map(near)).min();
        }
        self.lost(match (missing, to) {
            (0, _) => "perhaps records that some output had not got".to_owned(),
            (missing, _) => format!("up to {missing} records that some output had not got"),
        });
        self.lost(match to {
            Some(to) => format!(
                "therefore all sites are read again from {to} on, and what outputs have of that \
                 time is delivered a second time"
            ),
            None => "therefore all sites are read again from their first record on, and what \
                     outputs have is delivered a second time"
                .to_owned(),
        });
        let from = to.map_or(i64::MIN, Timestamp::as_millis);
        self.target
            .execute("DELETE FROM ledger WHERE ms >= ?1", [from])?;
        // Of copies of one record perhaps only the second was saved: it must not stand for both.
        self.target.execute(
            "UPDATE record SET ordinal = copy.number FROM (
                 SELECT seq, row_number() OVER (
                     PARTITION BY site, ms, fingerprint ORDER BY seq
                 ) AS number FROM record WHERE ms >= ?1
             ) AS copy WHERE copy.seq = record.seq",
            [from],
        )?;
        for id in sites.keys() {
            // Without a watermark the next run is a first one.
            self.target.execute(
                "UPDATE site SET watermark = iif(?2 IS NULL, NULL, min(watermark, ?2)),
                                 counted_from = iif(?2 IS NULL, NULL, min(counted_from, ?2))
                 WHERE id = ?1",
                params![id, to.map(Timestamp::as_millis)],
            )?;
            write_site_checksum(self.target, *id)?;
        }
        Ok(())
    }
}

/// What was found of the outputs.
pub(super) struct Outputs {
    complete: bool,
    /// The position of the one that is furthest back.
    first: Option<i64>,
    /// And of the one that is furthest ahead.
    pub(super) last: Option<i64>,
}

/// What was found of the records.
pub(super) struct Records {
    complete: bool,
    pub(super) last: Option<i64>,
    /// Each one's time by its number.
    times: BTreeMap<i64, i64>,
    /// The oldest time of all that waited when a record was committed, by its number: of each
    /// chunk's first one.
    lows: BTreeMap<i64, i64>,
}
