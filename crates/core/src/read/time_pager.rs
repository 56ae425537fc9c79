//! One window of a log that moves while it is read, exactly.
//!
//! Paging by offset reads a record twice, or never, when others arrive meanwhile. So the walk
//! pages by time: each request ends at the oldest millisecond that is not known whole, and a
//! millisecond counts as whole only when an older record follows it in the same answer, or the
//! window ends there. What arrives meanwhile cannot shift what is asked for by time.
//!
//! Nothing here relies on what the documents leave open: whether the ends of a window are
//! included (it asks for a millisecond more on each side and discards), how many records a page
//! holds, and whether the newest come first. The order is checked on every page; where it does
//! not hold, the window is read by offset until two readings agree.

use std::collections::BTreeMap;

use confluence_audit_core::{
    AuditClient, AuditQuery, Error, ErrorKind, Fingerprint, Page, Pager, RawRecord, Timestamp,
};
use futures_util::TryStreamExt as _;

use crate::window::Window;

/// How many records a page is asked for: the service's own default.
pub(crate) const PAGE: u32 = 1000;

/// This many times in a row a record must be older than the one before it until the order is
/// believed; chance does it once in 40,320 times.
const CONVINCING: u32 = 8;

/// How often a part is read by offset until two readings in a row agree.
const READINGS: u32 = 8;

/// A record and the millisecond that it is filed under: its own time, or, where a record does not
/// tell its time, that of its neighbour.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) time: Timestamp,
    pub(crate) record: RawRecord,
}

/// The log that is read: a site's, or what of it matches a search.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) client: AuditClient,
    pub(crate) search: Option<String>,
}

impl Log {
    /// The pages of what lies between `from` and `to`; a beginning before all records is not
    /// asked for at all.
    fn pages(&self, from: Timestamp, to: Option<Timestamp>) -> Pager {
        let mut query = AuditQuery::new().limit(PAGE);
        if from.as_millis() > 0 {
            query = query.since(from);
        }
        if let Some(to) = to {
            query = query.until(to);
        }
        if let Some(search) = &self.search {
            query = query.search(search);
        }
        self.client.pages(&query)
    }
}

/// What a step of the walk came to.
pub(crate) enum Step {
    /// Records of whole milliseconds, newest first, all older than those of the steps before.
    Records(Vec<Placed>),
    /// The same of a millisecond that fills more than a page.
    Dense(Vec<Placed>),
    /// The window has been read.
    End,
    /// The window holds more than a page of so few milliseconds that the order does not show:
    /// read it [by offset](by_offset). This is the first step or never.
    Unclear,
    /// The answers are not ordered from new to old: read the whole window [by offset](by_offset).
    Unordered,
}

/// What is known of the order of a log.
enum Order {
    NewestFirst,
    Other,
    Unclear,
}

/// A walk through one window, from its newest record to its oldest.
pub(crate) struct Walk<'a> {
    log: &'a Log,
    from: Timestamp,
    /// The newest millisecond that has not been handed out.
    top: Option<Timestamp>,
    /// The end of a window was seen to be included, so the extra millisecond is not needed.
    end_included: bool,
    /// How many records were each older than the one before, as far as order was looked at.
    descents: u32,
    first: bool,
    done: bool,
    server_time: Option<Timestamp>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(log: &'a Log, window: Window) -> Self {
        Self {
            log,
            from: window.from,
            top: window.to,
            end_included: false,
            descents: 0,
            first: true,
            done: false,
            server_time: None,
        }
    }

    /// The service's clock at its first answer: everything up to it that the log held then is in
    /// this walk. `None` as well when there was no record in any answer.
    pub(crate) fn server_time(&self) -> Option<Timestamp> {
        self.server_time
    }

    /// Whether nothing is left to read.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// The newest millisecond that is left to read; `None` when nothing was read yet and the
    /// window is open.
    pub(crate) fn rest(&self) -> Option<Timestamp> {
        self.top
    }

    /// Reads on.
    pub(crate) async fn step(&mut self) -> Result<Step, Error> {
        while !self.done {
            let before = before(self.from);
            let end = self
                .top
                .map(|top| if self.end_included { top } else { after(top) });
            let mut pages = self.log.pages(before, end);
            let Some(page) = filled(&mut pages).await? else {
                self.done = true;
                break;
            };
            if self.first {
                self.server_time = page.server_time;
            }
            let first = std::mem::replace(&mut self.first, false);
            let last = pages.position().is_none();
            let mut placed = placed(&page, self.top.unwrap_or(self.from));
            if last && first {
                // The whole window in one answer: its order does not matter.
                newest_first(&mut placed);
            } else {
                match self.order(&placed, last, &mut pages).await? {
                    Order::NewestFirst => {}
                    Order::Other => return Ok(Step::Unordered),
                    Order::Unclear => return Ok(Step::Unclear),
                }
            }
            let (Some(newest), Some(oldest)) = (placed.first(), placed.last()) else {
                continue;
            };
            let (newest, oldest) = (newest.time, oldest.time);
            let beyond = self.top.is_some_and(|top| newest > top);
            if beyond && self.end_included {
                // The end that was asked for is not heeded.
                return Ok(Step::Unordered);
            }
            self.end_included |= beyond;
            let in_window = |at: Timestamp| at >= self.from && self.top.is_none_or(|top| at <= top);
            if last || oldest < self.from {
                self.done = true;
                placed.retain(|record| in_window(record.time));
                return Ok(Step::Records(placed));
            }
            if self.top.is_some_and(|top| oldest > top) {
                // A page full of the extra millisecond: asked again without it.
                continue;
            }
            placed.retain(|record| in_window(record.time) && record.time > oldest);
            if placed.is_empty() && self.top == Some(oldest) {
                // One millisecond fills the page.
                let whole = by_offset(
                    self.log,
                    Window {
                        from: oldest,
                        to: self.top,
                    },
                    usize::MAX,
                );
                let Some(records) = whole.await? else {
                    return Ok(Step::Unordered);
                };
                self.go_below(oldest);
                return Ok(Step::Dense(records));
            }
            self.top = Some(oldest);
            if !placed.is_empty() {
                return Ok(Step::Records(placed));
            }
        }
        Ok(Step::End)
    }

    fn go_below(&mut self, time: Timestamp) {
        self.done = time <= self.from;
        self.top = Some(before(time));
    }

    /// The order of the log, by this page and, as long as there was too little to see, by those
    /// behind it.
    async fn order(
        &mut self,
        placed: &[Placed],
        last: bool,
        pages: &mut Pager,
    ) -> Result<Order, Error> {
        let mut lowest = None;
        if !self.descends(placed, &mut lowest) {
            return Ok(Order::Other);
        }
        while !last && self.descents < CONVINCING {
            let Some(page) = pages.try_next().await? else {
                return Ok(Order::Unclear);
            };
            let more = self::placed(&page, lowest.unwrap_or(self.from));
            if !self.descends(&more, &mut lowest) {
                return Ok(Order::Other);
            }
        }
        Ok(Order::NewestFirst)
    }

    fn descends(&mut self, placed: &[Placed], lowest: &mut Option<Timestamp>) -> bool {
        for record in placed {
            match *lowest {
                Some(before) if record.time > before => return false,
                Some(before) if record.time < before => self.descents += 1,
                _ => {}
            }
            *lowest = Some(record.time);
        }
        true
    }
}

/// Reads a window page after page, again and again until two readings in a row agree, newest
/// first; `None` when it holds more than `most` records.
///
/// It is right for any order. While records keep arriving in the window it may not settle.
pub(crate) async fn by_offset(
    log: &Log,
    window: Window,
    most: usize,
) -> Result<Option<Vec<Placed>>, Error> {
    let mut before: Option<BTreeMap<(Timestamp, Fingerprint), u32>> = None;
    for _ in 0..READINGS {
        let mut pages = log.pages(self::before(window.from), window.to.map(after));
        let mut records = Vec::new();
        while let Some(page) = pages.try_next().await? {
            let near = records
                .last()
                .map_or(window.from, |record: &Placed| record.time);
            records.extend(placed(&page, near));
            if records.len() > most.saturating_add(2 * PAGE as usize) {
                return Ok(None);
            }
        }
        newest_first(&mut records);
        records.retain(|record| {
            record.time >= window.from && window.to.is_none_or(|to| record.time <= to)
        });
        if records.len() > most {
            return Ok(None);
        }
        let mut counts = BTreeMap::new();
        for record in &records {
            *counts
                .entry((record.time, record.record.fingerprint()))
                .or_insert(0) += 1;
        }
        if before.as_ref() == Some(&counts) {
            return Ok(Some(records));
        }
        before = Some(counts);
    }
    Err(Error::new(
        ErrorKind::Paging,
        format!(
            "{READINGS} readings of the same part of the log, from {} on, all differ",
            window.from
        ),
    ))
}

/// The next page that holds a record; a page can be empty and yet have one behind it.
async fn filled(pages: &mut Pager) -> Result<Option<Page>, Error> {
    while let Some(page) = pages.try_next().await? {
        if !page.records.is_empty() {
            return Ok(Some(page));
        }
    }
    Ok(None)
}

/// Files the records of a page; one that does not tell its time goes with the one before it, or
/// where there is none with the one behind it, or with `near`.
fn placed(page: &Page, near: Timestamp) -> Vec<Placed> {
    let mut time = page
        .records
        .iter()
        .find_map(RawRecord::time)
        .unwrap_or(near);
    page.records
        .iter()
        .map(|record| {
            time = record.time().unwrap_or(time);
            Placed {
                time,
                record: record.clone(),
            }
        })
        .collect()
}

/// Orders records from new to old, and those of one millisecond as the service has them, which is
/// turned about when it has the old ones first.
fn newest_first(records: &mut [Placed]) {
    let ascends =
        records.first().map(|record| record.time) < records.last().map(|record| record.time);
    if ascends {
        records.reverse();
    }
    records.sort_by_key(|record| std::cmp::Reverse(record.time));
}

fn before(time: Timestamp) -> Timestamp {
    Timestamp::from_millis(time.as_millis().saturating_sub(1))
}

fn after(time: Timestamp) -> Timestamp {
    Timestamp::from_millis(time.as_millis().saturating_add(1))
}
