//! Fallback for a log without a known order: a window by offset, until two readings agree. And
//! what any paging needs: whether a page is the last, and a bound where there is no end.

use std::collections::BTreeMap;
use std::sync::Once;

use crate::error::{Error, ErrorKind};
use crate::fingerprint::Fingerprint;
use crate::read::source::{PAGE_SIZE, Source, SourcePage, SourcePages};
use crate::read::timed::{TimedRecord, after, before, newest_first, timed};
use crate::read::window::Window;
use crate::time::Timestamp;

/// How often a part is read until two readings in a row agree.
const READINGS: u32 = 8;

/// So many empty pages in a row may name a next one. A service that filters late gives a few.
const EMPTY_PAGES_MAX: u32 = 100;

/// So many pages in a row may hold nothing of the part that was asked for: a service that heeds
/// no end gives what is newer, a million records of it here.
const FOREIGN_PAGES_MAX: u32 = 1_000;

/// So many records are held at most of a part that cannot be cut (a single millisecond, or a few
/// whose order does not show): with the field's 700 bytes each it is 140 MB.
const UNCUT_RECORDS_MAX: usize = 200_000;

/// So many bytes of them.
const UNCUT_BYTES_MAX: usize = 512 << 20;

/// Reads a window page after page, again and again until two readings in a row agree, newest
/// first; `None` when it holds more than `max_records` records.
///
/// It is right for any order. While records keep arriving in the window it may not settle.
///
/// # Errors
/// [`ErrorKind::Paging`] when the readings go on differing or have no end, and every kind that is
/// about the service, the network or the credentials.
pub async fn read_by_offset(
    source: &dyn Source,
    window: Window,
    max_records: usize,
) -> Result<Option<Vec<TimedRecord>>, Error> {
    match read_until_settled(source, window, max_records).await? {
        Settled::Records(records) => Ok(Some(records)),
        Settled::TooMany => Ok(None),
        Settled::Never => Err(never_settles(window)),
    }
}

/// What reading a window again and again came to.
pub(super) enum Settled {
    /// Two readings in a row agreed, newest first.
    Records(Vec<TimedRecord>),
    /// The window holds more than it may.
    TooMany,
    /// All readings differed: records keep arriving in the window.
    Never,
}

pub(super) fn never_settles(window: Window) -> Error {
    Error::new(
        ErrorKind::Paging,
        format!(
            "{READINGS} readings of the same part of the log, from {} on, all differ",
            window.from
        ),
    )
}

/// As [`read_by_offset`].
pub(super) async fn read_until_settled(
    source: &dyn Source,
    window: Window,
    max_records: usize,
) -> Result<Settled, Error> {
    let mut last_counts: Option<BTreeMap<(Timestamp, Fingerprint), u32>> = None;
    for _ in 0..READINGS {
        let Some(mut records) = read_once(source, window, max_records).await? else {
            return Ok(Settled::TooMany);
        };
        newest_first(&mut records);
        let mut counts = BTreeMap::new();
        for record in &records {
            *counts
                .entry((record.time, source.key(&record.record)))
                .or_insert(0) += 1;
        }
        if last_counts.as_ref() == Some(&counts) {
            return Ok(Settled::Records(records));
        }
        last_counts = Some(counts);
    }
    Ok(Settled::Never)
}

/// One reading of the window; `None` when it holds more than `max_records` records.
async fn read_once(
    source: &dyn Source,
    window: Window,
    max_records: usize,
) -> Result<Option<Vec<TimedRecord>>, Error> {
    let in_window = |record: &TimedRecord| {
        record.time >= window.from && window.to.is_none_or(|to| record.time <= to)
    };
    let mut pages = source.pages(before(window.from), window.to.map(after));
    let mut bound = Bound::new(window.from);
    let mut records: Vec<TimedRecord> = Vec::new();
    let (mut read, mut bytes) = (0, 0);
    let mut near = window.to;
    let mut read_ahead = None;
    loop {
        let next = match read_ahead.take() {
            Some(page) => Some(page),
            None => pages.next().await?,
        };
        let Some(page) = next else { break };
        let has_next = page.has_next;
        let server_time = page.server_time;
        let mut page = timed(page.records, near.or(server_time).unwrap_or(window.from));
        read += page.len();
        if read > max_records.saturating_add(2 * PAGE_SIZE as usize) {
            return Ok(None);
        }
        if let Some(last) = page.last() {
            near = Some(last.time);
        }
        let is_last = !has_next
            && match behind(source, window.from, &page, &mut *pages).await? {
                Behind::Nothing => true,
                Behind::Page(next) => {
                    read_ahead = Some(next);
                    false
                }
                Behind::Unknown => {
                    warn_offset_ignored();
                    true
                }
            };
        let page_length = page.len();
        page.retain(in_window);
        if page.is_empty() {
            bound.without_progress(page_length)?;
        } else {
            bound = Bound::new(window.from);
        }
        bytes += page
            .iter()
            .map(|record| record.record.line().len())
            .sum::<usize>();
        records.extend(page);
        if records.len() > max_records {
            return Ok(None);
        }
        if records.len() > UNCUT_RECORDS_MAX || bytes > UNCUT_BYTES_MAX {
            return Err(too_much(window, records.len(), bytes));
        }
        if is_last {
            break;
        }
    }
    Ok(Some(records))
}

/// What lies behind a page that has no next one by the service's word.
pub(super) enum Behind {
    /// Nothing.
    Nothing,
    /// This page.
    Page(SourcePage),
    /// The service gives the same page at every offset, and this one may have been cut.
    Unknown,
}

/// Whether `page`, without a next one by the service's word, is the last that begins at `from`.
///
/// A service can cap its pages without saying so. So its word counts where a record older than
/// `from` follows the others, or where this log has shown larger pages; else the page behind it
/// is asked for, and has to be empty.
pub(super) async fn behind(
    source: &dyn Source,
    from: Timestamp,
    page: &[TimedRecord],
    pages: &mut dyn SourcePages,
) -> Result<Behind, Error> {
    if page.len() < source.largest_page() {
        return Ok(Behind::Nothing);
    }
    let descends = page.is_sorted_by(|newer, older| newer.time >= older.time);
    if let (Some(newest), Some(oldest)) = (page.first(), page.last())
        && descends
        && newest.time > from
        && oldest.time < from
    {
        return Ok(Behind::Nothing);
    }
    let Some(next) = pages.next().await? else {
        return Ok(Behind::Nothing);
    };
    if next.records.is_empty() && !next.has_next {
        return Ok(Behind::Nothing);
    }
    let is_same = next.records.len() == page.len()
        && next
            .records
            .iter()
            .zip(page)
            .all(|(next, page)| next.line() == page.record.line());
    // The same page again: twins, or a service to which all offsets are one.
    if is_same && !pages.heeds_offset().await? {
        return Ok(Behind::Unknown);
    }
    tracing::debug!(
        records = page.len(),
        "a page was said to be the last and is not"
    );
    Ok(Behind::Page(next))
}

fn warn_offset_ignored() {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            "the service gives the same page at every offset: where one millisecond holds more \
             records than a page, those beyond it cannot be read"
        );
    });
}

/// A bound on pages that lead nowhere.
pub(super) struct Bound {
    from: Timestamp,
    empty: u32,
    foreign: u32,
}

impl Bound {
    /// Nothing read yet of the part that begins at `from`.
    pub(super) fn new(from: Timestamp) -> Self {
        Self {
            from,
            empty: 0,
            foreign: 0,
        }
    }

    /// Counts a page of so many records that led nowhere.
    pub(super) fn without_progress(&mut self, records: usize) -> Result<(), Error> {
        let (counter, most, what) = if records == 0 {
            (&mut self.empty, EMPTY_PAGES_MAX, "were empty")
        } else {
            (
                &mut self.foreign,
                FOREIGN_PAGES_MAX,
                "held no record of the part that was asked for",
            )
        };
        *counter += 1;
        if *counter < most {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Paging,
            format!(
                "{most} pages in a row {what}, from {} on, and each leads to another",
                self.from
            ),
        ))
    }
}

fn too_much(window: Window, records: usize, bytes: usize) -> Error {
    Error::new(
        ErrorKind::Paging,
        format!(
            "the part of the log {window}, which cannot be cut, has no end after {records} records \
             of {} MiB",
            bytes >> 20
        ),
    )
}
