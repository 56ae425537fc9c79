//! Which part of the log is read next: windows that follow each other without a gap, oldest
//! first, each small enough to be held and committed whole.

use std::fmt;

use confluence_audit_core::Timestamp;

/// A part of the log, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from: Timestamp,
    /// `None`: whatever is newest, also what a wrong clock has put into the future.
    pub(crate) to: Option<Timestamp>,
}

impl Window {
    /// Whether it cannot be cut any further.
    pub(crate) fn is_one_millisecond(self) -> bool {
        self.to == Some(self.from)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.from)?;
        self.to.map_or(Ok(()), |to| write!(f, "{to}"))
    }
}

/// Cuts a span of the log into windows.
///
/// Windows grow through silence, so that years without a record cost a handful of requests, and
/// are cut where they would hold too much.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    from: i64,
    /// The last millisecond of the span; `None` is whatever is newest.
    end: Option<i64>,
    /// How many milliseconds the next window has; `None` is all that is left.
    length: Option<i64>,
    now: i64,
    /// A window was cut and must not grow open again before it has been read.
    cut: bool,
    finished: bool,
    /// How many records a window should hold.
    target: u64,
}

impl Plan {
    /// From `from` to `end`, in one window as long as it is not cut. `now` is about the present: a
    /// guess is enough, for the last window of a span without an end is open.
    pub(crate) fn new(
        from: Timestamp,
        end: Option<Timestamp>,
        now: Timestamp,
        target: u64,
    ) -> Self {
        let (from, now) = (from.as_millis(), now.as_millis());
        let end = end.map(Timestamp::as_millis);
        let finished = end.is_some_and(|end| end < from);
        Self {
            from,
            end,
            length: None,
            now,
            cut: false,
            finished,
            target,
        }
    }

    /// The same, with a first window that ends before `silent`: until then nothing is likely to
    /// be found.
    pub(crate) fn with_silence_until(mut self, silent: Timestamp) -> Self {
        let length = silent.as_millis().saturating_sub(self.from);
        self.length = (length > 0).then_some(length);
        self
    }

    /// What to read next; `None` at the end.
    pub(crate) fn window(&self) -> Option<Window> {
        if self.finished {
            return None;
        }
        let to = self
            .length
            .map(|length| self.from.saturating_add(length - 1));
        let to = to.filter(|to| *to < self.now || self.cut);
        let to = match (to, self.end) {
            (Some(to), Some(end)) => Some(to.min(end)),
            (to, end) => to.or(end),
        };
        let from = Timestamp::from_millis(self.from);
        Some(Window {
            from,
            to: to.map(Timestamp::from_millis),
        })
    }

    /// Makes the window smaller, which was found to hold about `estimate` records.
    pub(crate) fn cut(&mut self, estimate: u64) {
        let end = self.window().and_then(|window| window.to);
        let end = end.map_or(self.now, Timestamp::as_millis);
        let length = end.saturating_sub(self.from).saturating_add(1).max(2);
        let share = self.target as f64 / estimate.max(1) as f64;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is clamped to the length"
        )]
        let wanted = (length as f64 * share) as i64;
        self.length = Some(wanted.clamp(1, length / 2));
        self.cut = true;
    }

    /// Goes on behind `window`, which held `read` records.
    pub(crate) fn advance(&mut self, window: Window, read: u64) {
        let Some(to) = window.to else {
            self.finished = true;
            return;
        };
        let factor = match read.saturating_mul(4) {
            quadruple if quadruple <= self.target => 4,
            quadruple if quadruple <= 2 * self.target => 2,
            _ => 1,
        };
        self.length = self.length.map(|length| length.saturating_mul(factor));
        self.from = to.as_millis().saturating_add(1);
        self.finished = self.end.is_some_and(|end| end < self.from);
        self.cut = false;
    }

    /// Takes a better guess of the present.
    pub(crate) fn set_now(&mut self, now: Timestamp) {
        self.now = now.as_millis();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const YEAR: i64 = 366 * 86_400_000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    proptest! {
        /// Whatever the density, the windows tile the span from its beginning to its end.
        #[test]
        fn no_millisecond_lies_in_two_windows_or_in_none(
            from in 0..2 * YEAR, ahead in -YEAR..YEAR, span in prop::option::of(0..YEAR),
            seed in any::<u64>(), silent in 0..YEAR,
        ) {
            let end = span.map(|span| at(from + span));
            let mut plan = Plan::new(at(from), end, at(from + ahead), 100)
                .with_silence_until(at(silent));
            let (mut expected, mut dice, mut reads) = (from, seed, 0);
            let mut last = None;
            while let Some(window) = plan.window() {
                prop_assert_eq!(window.from.as_millis(), expected);
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let dense = (dice >> 60) == 0 && reads < 200;
                reads += 1;
                if dense && !window.is_one_millisecond() {
                    plan.cut((dice >> 33) % 1_000_000);
                    let to = plan.window().and_then(|cut| cut.to);
                    prop_assert!(to.is_some_and(|to| window.to.is_none_or(|before| to < before)));
                    continue;
                }
                prop_assert!(window.to.is_none_or(|to| to >= window.from));
                last = window.to;
                expected = last.map_or(i64::MAX, |to| to.as_millis() + 1);
                plan.advance(window, (dice >> 33) % 120);
            }
            prop_assert_eq!(last, end);
            prop_assert!(reads < 2_000, "{} windows", reads);
        }
    }

    #[test]
    fn ten_silent_years_cost_a_handful_of_windows() {
        let mut plan =
            Plan::new(at(0), None, at(10 * YEAR), 100).with_silence_until(at(86_400_000));
        let mut windows = 0;
        while let Some(window) = plan.window() {
            plan.advance(window, 0);
            windows += 1;
        }
        assert!(windows < 9, "{windows}");
    }
}
