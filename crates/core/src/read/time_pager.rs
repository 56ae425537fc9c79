//! Pager by time: one window of a log that moves while it is read, exactly.
//!
//! Paging by offset reads a record twice, or never, when others arrive meanwhile. So this
//! pages by time: each request ends at the oldest millisecond that is not known whole, and a
//! millisecond counts as whole only when an older record follows it in the same answer, or the
//! window ends there. What arrives meanwhile cannot shift what is asked for by time.
//!
//! Nothing here relies on what the documents leave open: whether the ends of a window are
//! included (it asks for a millisecond more on each side and discards), how many records a page
//! holds, whether the newest come first, and whether a page without a link to a next one is the
//! last. The order is checked on every page; where it does not hold, the window is read by offset
//! until two readings agree. The end is believed when it [is seen](behind).

use crate::error::Error;
use crate::read::offset::{Behind, Bound, behind, read_by_offset};
use crate::read::source::{Source, SourcePage, SourcePages};
use crate::read::timed::{TimedRecord, after, before, newest_first, timed};
use crate::read::window::Window;
use crate::time::Timestamp;

/// This many times in a row a record must be older than the one before it until the order is
/// believed; chance does it once in 40,320 times.
const CONVINCING: u32 = 8;

/// What a step of a [`TimePager`] came to.
pub enum TimePage {
    /// Records of whole milliseconds, newest first, all older than those of the steps before.
    Records(Vec<TimedRecord>),
    /// The same of a millisecond that fills more than a page.
    Dense(Vec<TimedRecord>),
    /// The window has been read.
    End,
    /// The window holds more than a page of so few milliseconds that the order does not show:
    /// read it [by offset](read_by_offset). This is the first step or never.
    Unclear,
    /// The answers are not ordered from new to old: read the whole window [by offset](read_by_offset).
    Unordered,
}

/// What is known of the order of a log.
enum Order {
    NewestFirst,
    Other,
    Unclear,
}

/// Reads one window, from its newest record to its oldest.
pub struct TimePager<'a> {
    source: &'a dyn Source,
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
    clock: Option<Timestamp>,
}

impl<'a> TimePager<'a> {
    /// A pager that has read nothing of `window` yet.
    pub fn new(source: &'a dyn Source, window: Window) -> Self {
        Self {
            source,
            from: window.from,
            top: window.to,
            end_included: false,
            descents: 0,
            first: true,
            done: false,
            server_time: None,
            clock: None,
        }
    }

    /// The service's clock at its first answer: everything up to it that the log held then is in
    /// what this reads. `None` as well when there was no record in any answer.
    pub fn server_time(&self) -> Option<Timestamp> {
        self.server_time
    }

    /// The service's clock at its first answer, whether or not that held a record.
    pub fn clock(&self) -> Option<Timestamp> {
        self.clock
    }

    /// Whether nothing is left to read.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The newest millisecond that is left to read; `None` when nothing was read yet and the
    /// window is open.
    pub fn rest(&self) -> Option<Timestamp> {
        self.top
    }

    /// Reads on.
    ///
    /// # Errors
    /// [`Paging`](crate::ErrorKind::Paging) when the service gives pages without end, and every
    /// kind that is about the service, the network or the credentials.
    pub async fn step(&mut self) -> Result<TimePage, Error> {
        while !self.done {
            let begin = before(self.from);
            let end = self
                .top
                .map(|top| if self.end_included { top } else { after(top) });
            let mut pages = self.source.pages(begin, end);
            let Some(mut page) = self.filled(&mut *pages).await? else {
                self.done = true;
                break;
            };
            if self.first {
                self.server_time = page.server_time;
            }
            let first = std::mem::replace(&mut self.first, false);
            let near = self.top.or(page.server_time).unwrap_or(self.from);
            let mut records = timed(std::mem::take(&mut page.records), near);
            let mut read_ahead = None;
            let last = !page.has_next
                && match behind(self.source, self.from, &records, &mut *pages).await? {
                    Behind::Nothing => true,
                    Behind::Page(next) => {
                        read_ahead = Some(next);
                        false
                    }
                    // Time tells, where the order is plain.
                    Behind::Unknown => !is_plainly_ordered(&records),
                };
            if last && first {
                // The whole window in one answer: its order does not matter.
                newest_first(&mut records);
            } else {
                match self.order(&records, last, &mut *pages, read_ahead).await? {
                    Order::NewestFirst => {}
                    Order::Other => return Ok(TimePage::Unordered),
                    Order::Unclear => return Ok(TimePage::Unclear),
                }
            }
            let (Some(newest), Some(oldest)) = (records.first(), records.last()) else {
                continue;
            };
            let (newest, oldest) = (newest.time, oldest.time);
            let beyond = self.top.is_some_and(|top| newest > top);
            if beyond && self.end_included {
                // The end that was asked for is not heeded.
                return Ok(TimePage::Unordered);
            }
            self.end_included |= beyond;
            let in_window = |at: Timestamp| at >= self.from && self.top.is_none_or(|top| at <= top);
            if last || oldest < self.from {
                self.done = true;
                records.retain(|record| in_window(record.time));
                return Ok(TimePage::Records(records));
            }
            if self.top.is_some_and(|top| oldest > top) {
                // A page full of the extra millisecond: asked again without it.
                continue;
            }
            records.retain(|record| in_window(record.time) && record.time > oldest);
            if records.is_empty() && self.top == Some(oldest) {
                // One millisecond fills the page.
                let whole = read_by_offset(
                    self.source,
                    Window {
                        from: oldest,
                        to: self.top,
                    },
                    usize::MAX,
                );
                let Some(records) = whole.await? else {
                    return Ok(TimePage::Unordered);
                };
                self.go_below(oldest);
                return Ok(TimePage::Dense(records));
            }
            self.top = Some(oldest);
            if !records.is_empty() {
                return Ok(TimePage::Records(records));
            }
        }
        Ok(TimePage::End)
    }

    /// The next page that holds a record; a page can be empty and yet have one behind it.
    async fn filled(&mut self, pages: &mut dyn SourcePages) -> Result<Option<SourcePage>, Error> {
        let mut bound = Bound::new(self.from);
        while let Some(page) = pages.next().await? {
            if self.first && self.clock.is_none() {
                self.clock = page.server_time;
            }
            if !page.records.is_empty() {
                return Ok(Some(page));
            }
            if !page.has_next {
                return Ok(None);
            }
            bound.without_progress(0)?;
        }
        Ok(None)
    }

    fn go_below(&mut self, time: Timestamp) {
        self.done = time <= self.from;
        self.top = Some(before(time));
    }

    /// The order of the log, by this page and, as long as there was too little to see, by those
    /// behind it, of which the first may have been read.
    async fn order(
        &mut self,
        records: &[TimedRecord],
        last: bool,
        pages: &mut dyn SourcePages,
        mut read_ahead: Option<SourcePage>,
    ) -> Result<Order, Error> {
        let mut lowest = None;
        if !self.descends(records, &mut lowest) {
            return Ok(Order::Other);
        }
        let mut bound = Bound::new(self.from);
        while !last && self.descents < CONVINCING {
            let next = match read_ahead.take() {
                Some(page) => Some(page),
                None => pages.next().await?,
            };
            let Some(page) = next else {
                return Ok(Order::Unclear);
            };
            if page.records.is_empty() {
                if !page.has_next {
                    return Ok(Order::Unclear);
                }
                bound.without_progress(0)?;
            }
            let descents = self.descents;
            let more = timed(page.records, lowest.unwrap_or(self.from));
            if !self.descends(&more, &mut lowest) {
                return Ok(Order::Other);
            }
            if self.descents == descents && !more.is_empty() {
                bound.without_progress(more.len())?;
            }
        }
        Ok(Order::NewestFirst)
    }

    fn descends(&mut self, records: &[TimedRecord], lowest: &mut Option<Timestamp>) -> bool {
        for record in records {
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

/// Whether these records alone show that the log is ordered from new to old.
fn is_plainly_ordered(records: &[TimedRecord]) -> bool {
    let descents = records.windows(2).filter(|two| two[0].time > two[1].time);
    records.is_sorted_by(|newer, older| newer.time >= older.time)
        && descents.count() >= CONVINCING as usize
}
