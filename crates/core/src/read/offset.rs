//! Fallback for a log without a known order: a window by offset, until two readings agree.

use std::collections::BTreeMap;

use crate::read::source::{PAGE_SIZE, Source};
use crate::read::timed::{TimedRecord, after, before, newest_first, timed};
use crate::read::window::Window;
use crate::{Error, ErrorKind, Fingerprint, Timestamp};

/// How often a part is read until two readings in a row agree.
const READINGS: u32 = 8;

/// Reads a window page after page, again and again until two readings in a row agree, newest
/// first; `None` when it holds more than `max_records` records.
///
/// It is right for any order. While records keep arriving in the window it may not settle.
///
/// # Errors
/// [`ErrorKind::Paging`] when the readings go on differing, and every kind that is about the
/// service, the network or the credentials.
pub async fn read_by_offset(
    source: &dyn Source,
    window: Window,
    max_records: usize,
) -> Result<Option<Vec<TimedRecord>>, Error> {
    let mut last_counts: Option<BTreeMap<(Timestamp, Fingerprint), u32>> = None;
    for _ in 0..READINGS {
        let mut pages = source.pages(before(window.from), window.to.map(after));
        let mut records = Vec::new();
        while let Some(page) = pages.next().await? {
            let near = records
                .last()
                .map_or(window.from, |record: &TimedRecord| record.time);
            records.extend(timed(page.records, near));
            if records.len() > max_records.saturating_add(2 * PAGE_SIZE as usize) {
                return Ok(None);
            }
        }
        newest_first(&mut records);
        records.retain(|record| {
            record.time >= window.from && window.to.is_none_or(|to| record.time <= to)
        });
        if records.len() > max_records {
            return Ok(None);
        }
        let mut counts = BTreeMap::new();
        for record in &records {
            *counts
                .entry((record.time, source.key(&record.record)))
                .or_insert(0) += 1;
        }
        if last_counts.as_ref() == Some(&counts) {
            return Ok(Some(records));
        }
        last_counts = Some(counts);
    }
    Err(Error::new(
        ErrorKind::Paging,
        format!(
            "{READINGS} readings of the same part of the log, from {} on, all differ",
            window.from
        ),
    ))
}
