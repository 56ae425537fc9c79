//! Windows: the parts in which a log is read, without a gap, oldest first, each small enough to be
//! held and committed whole.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::read::timed::after;
use crate::time::Timestamp;

/// A part of the log, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first millisecond.
    pub from: Timestamp,
    /// The last millisecond. `None`: whatever is newest, also what a wrong clock has put into the future.
    pub to: Option<Timestamp>,
}

impl Window {
    /// Whether it cannot be cut any further.
    pub fn is_one_millisecond(self) -> bool {
        self.to == Some(self.from)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.from)?;
        self.to.map_or(Ok(()), |to| write!(f, "{to}"))
    }
}

/// Cuts a span of the log into windows, and keeps them in order while several are being read.
///
/// Windows grow through silence, so that years without a record cost a handful of requests. One
/// that turns out to hold too much is cut where it stands, before those behind it. `T` is what
/// reads a window.
#[derive(Debug)]
pub(super) struct Windows<T> {
    items: VecDeque<Item<T>>,
    /// How many milliseconds the next window has; `None` is all that is left.
    length: Option<i64>,
    now: i64,
    /// The log goes on until here at least, whatever a clock says.
    reached: i64,
    /// How many records a window should hold.
    target: u64,
}

#[derive(Debug)]
enum Item<T> {
    /// A window that is being read.
    Begun(Window, T),
    /// What is yet to be cut into windows.
    Rest {
        rest: Window,
        /// The next window of it must not be all of it: that was too much.
        must_cut: bool,
    },
}

impl<T> Windows<T> {
    /// All of `span`. `now` is about the present: a guess is enough, for the last window of a span
    /// without an end is open.
    pub(super) fn new(span: Window, now: Timestamp, target: u64) -> Self {
        let empty = span.to.is_some_and(|to| to < span.from);
        let rest = (!empty).then_some(Item::Rest {
            rest: span,
            must_cut: false,
        });
        Self {
            items: rest.into_iter().collect(),
            length: None,
            now: now.as_millis(),
            reached: i64::MIN,
            target,
        }
    }

    /// The same, with a first window that ends before `silent`: until then nothing is likely to
    /// be found.
    pub(super) fn with_silence_until(mut self, silent: Timestamp) -> Self {
        if let Some(Item::Rest { rest, .. }) = self.items.front() {
            let length = silent.as_millis().saturating_sub(rest.from.as_millis());
            self.length = (length > 0).then_some(length);
        }
        self
    }

    /// Begins to read windows until `most` of those that come next are being read.
    pub(super) fn begin(&mut self, most: usize, mut begin: impl FnMut(Window) -> T) {
        let mut at = 0;
        while at < most && at < self.items.len() {
            if let Item::Rest { rest, must_cut } = self.items[at] {
                let (window, behind) = self.tile(rest, must_cut);
                let behind = behind.map(|rest| Item::Rest {
                    rest,
                    must_cut: false,
                });
                self.items.remove(at);
                if let Some(behind) = behind {
                    self.items.insert(at, behind);
                }
                self.items.insert(at, Item::Begun(window, begin(window)));
            }
            at += 1;
        }
    }

    /// Whether all has been read.
    pub(super) fn is_done(&self) -> bool {
        self.items.is_empty()
    }

    /// The window that comes next, if it is being read.
    pub(super) fn pop(&mut self) -> Option<(Window, T)> {
        match self.items.pop_front()? {
            Item::Begun(window, reading) => Some((window, reading)),
            rest @ Item::Rest { .. } => {
                self.items.push_front(rest);
                None
            }
        }
    }

    /// `asked` was read as far as `read` goes, and held `records` records.
    pub(super) fn done(&mut self, asked: Window, read: Window, records: u64) {
        if let (Some(end), true) = (read.to, read.to != asked.to) {
            let rest = Window {
                from: after(end),
                to: asked.to,
            };
            self.items.push_front(Item::Rest {
                rest,
                must_cut: false,
            });
        }
        if let Some(end) = read.to {
            let length = length(read.from, end);
            // What is as dense as this was gives the next one as many as it should hold.
            let share = self.target as f64 / records.max(1) as f64;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a float beyond the range becomes its end"
            )]
            let wanted = (length as f64 * share.clamp(0.5, 4.0)) as i64;
            self.length = Some(wanted.max(1));
        }
    }

    /// `window` holds about `estimate` records up to `end`, which is more than it may.
    pub(super) fn too_many(&mut self, window: Window, estimate: u64, end: Timestamp) {
        let end = window.to.unwrap_or_else(|| {
            let unknown = end <= window.from;
            let day = window.from.saturating_add(Duration::from_hours(24));
            if unknown { day } else { end }
        });
        // Were the next window open again because a clock is behind, it would hold too much again.
        self.reached = self.reached.max(end.as_millis());
        let length = length(window.from, end).max(2);
        let share = self.target as f64 / estimate.max(1) as f64;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is clamped to the length"
        )]
        let wanted = (length as f64 * share) as i64;
        self.length = Some(wanted.clamp(1, length / 2));
        self.items.push_front(Item::Rest {
            rest: window,
            must_cut: true,
        });
    }

    /// Leaves what has not been read.
    pub(super) fn leave_rest(&mut self) {
        self.items.clear();
    }

    /// Takes a better guess of the present.
    pub(super) fn set_now(&mut self, now: Timestamp) {
        self.now = now.as_millis();
    }

    /// The next window of `rest`, and what is behind it.
    fn tile(&self, rest: Window, must_cut: bool) -> (Window, Option<Window>) {
        let from = rest.from.as_millis();
        let end = self.length.map(|length| from.saturating_add(length - 1));
        // An end that is not reached yet is no end, unless all of the rest was too much.
        let end =
            end.filter(|end| must_cut || *end < self.now.max(self.reached) || rest.to.is_some());
        let end = end.map(Timestamp::from_millis);
        match end.filter(|end| rest.to.is_none_or(|to| *end < to)) {
            None => (rest, None),
            Some(end) => {
                let behind = Window {
                    from: after(end),
                    to: rest.to,
                };
                (
                    Window {
                        from: rest.from,
                        to: Some(end),
                    },
                    Some(behind),
                )
            }
        }
    }
}

fn length(from: Timestamp, to: Timestamp) -> i64 {
    to.as_millis()
        .saturating_sub(from.as_millis())
        .saturating_add(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const YEAR: i64 = 366 * 86_400_000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_clock_that_is_behind_does_not_make_the_open_end_be_read_again_and_again() {
        let (from, newest) = (at(YEAR), at(YEAR + 7 * 86_400_000));
        // Told where the records end, or not told anything of use.
        for end in [newest, at(YEAR - 86_400_000)] {
            let span = Window { from, to: None };
            let mut windows = Windows::new(span, at(YEAR - 86_400_000), 5_000);
            let (mut read, mut open) = (0, 0);
            loop {
                windows.begin(1, |_| ());
                let Some((window, ())) = windows.pop() else {
                    break;
                };
                read += 1;
                // All records stand in the newest millisecond.
                match window.to {
                    None if window.from < newest => {
                        open += 1;
                        windows.too_many(window, 7_000_000_000, end);
                    }
                    _ => windows.done(window, window, 0),
                }
            }
            assert!(open <= 20 && read <= 300, "{open} open, {read} in all");
        }
    }

    proptest! {
        /// Whatever the density, and however many are read at a time, the windows come in order
        /// and tile the span from its beginning to its end.
        #[test]
        fn no_millisecond_lies_in_two_windows_or_in_none(
            from in 0..2 * YEAR, ahead in -YEAR..YEAR, span in prop::option::of(0..YEAR),
            seed in any::<u64>(), silent in 0..YEAR, jobs in 1_usize..9,
        ) {
            let end = span.map(|span| at(from + span));
            let span = Window { from: at(from), to: end };
            let mut windows =
                Windows::new(span, at(from + ahead), 100).with_silence_until(at(silent));
            let (mut expected, mut dice, mut reads) = (from, seed, 0);
            let mut last = None;
            loop {
                windows.begin(jobs, |window| window);
                let Some((window, begun)) = windows.pop() else { break };
                prop_assert_eq!(window, begun);
                prop_assert_eq!(window.from.as_millis(), expected);
                prop_assert!(window.to.is_none_or(|to| to >= window.from));
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                reads += 1;
                match dice >> 60 {
                    0 if reads < 200 && !window.is_one_millisecond() => {
                        windows.too_many(window, (dice >> 33) % 1_000_000, at(from + ahead));
                        continue;
                    }
                    // Read in part, as a window without an end can be.
                    1 if reads < 200 && window.to.is_none() => {
                        let read = Window { to: Some(at(expected + 5)), ..window };
                        windows.done(window, read, 3);
                        expected += 6;
                        continue;
                    }
                    _ => windows.done(window, window, (dice >> 33) % 120),
                }
                last = window.to;
                expected = last.map_or(i64::MAX, |to| to.as_millis() + 1);
            }
            prop_assert_eq!(last, end);
            prop_assert!(reads < 3_000, "{} windows", reads);
        }
    }

    #[test]
    fn ten_silent_years_cost_a_handful_of_windows() {
        let span = Window {
            from: at(0),
            to: None,
        };
        let mut windows = Windows::new(span, at(10 * YEAR), 100).with_silence_until(at(86_400_000));
        let mut count = 0;
        loop {
            windows.begin(1, |_| ());
            let Some((window, ())) = windows.pop() else {
                break;
            };
            windows.done(window, window, 0);
            count += 1;
        }
        assert!(count < 9, "{count}");
    }

    #[test]
    fn a_window_that_holds_too_much_gets_smaller_each_time() {
        let span = Window {
            from: at(0),
            to: None,
        };
        let mut windows = Windows::new(span, at(YEAR), 100);
        let mut before = i64::MAX;
        loop {
            windows.begin(1, |_| ());
            let (window, ()) = windows.pop().unwrap();
            let length = window.to.map_or(YEAR, |to| length(window.from, to));
            assert!(length < before);
            before = length;
            if window.is_one_millisecond() {
                break;
            }
            windows.too_many(window, 150, at(YEAR));
        }
    }
}
