//! Lookback: what is read again, and how often. Records can arrive late, with a time that was read
//! already, and nobody documents how late.

use std::time::Duration;

use crate::time::Timestamp;

/// One step of the schedule: how far back, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookback {
    /// The step's name in the state.
    pub name: String,
    /// How far back from the watermark.
    pub span: Duration,
    /// How much time passes between two times; zero is every pass.
    pub every: Duration,
}

impl Lookback {
    /// A step named after its span.
    pub fn new(span: Duration, every: Duration) -> Self {
        Self {
            name: format!("{}s", span.as_secs()),
            span,
            every,
        }
    }

    /// 15 minutes on every pass, 24 hours once an hour, 7 days once a day.
    pub fn default_schedule() -> Vec<Self> {
        vec![
            Self::new(Duration::from_mins(15), Duration::ZERO),
            Self::new(Duration::from_hours(24), Duration::from_hours(1)),
            Self::new(Duration::from_hours(7 * 24), Duration::from_hours(24)),
        ]
    }

    /// Whether it is due, when it was `last` done then. A clock that was set back makes it due:
    /// once too often loses nothing.
    fn is_due(&self, last: Option<Timestamp>, now: Timestamp) -> bool {
        last.is_none_or(|last| last > now || now.since(last) >= self.every)
    }
}

/// The steps that are due, by when each was last done.
pub fn due<'a>(
    schedule: &'a [Lookback],
    done: &[(String, Timestamp)],
    now: Timestamp,
) -> Vec<&'a Lookback> {
    let last = |name: &str| {
        done.iter()
            .find(|(done, _)| done == name)
            .map(|(_, at)| *at)
    };
    schedule
        .iter()
        .filter(|step| step.is_due(last(&step.name), now))
        .collect()
}

/// How far back any step reads.
pub fn longest(schedule: &[Lookback]) -> Duration {
    schedule
        .iter()
        .map(|step| step.span)
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_comes_when_it_is_due_and_a_clock_set_back_skips_none() {
        let schedule = Lookback::default_schedule();
        let at = |minutes: i64| Timestamp::from_millis(minutes * 60_000);
        let names = |done: &[(String, Timestamp)], now| {
            due(&schedule, done, now)
                .iter()
                .map(|step| step.name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&[], at(0)), ["900s", "86400s", "604800s"]);
        let done: Vec<_> = schedule
            .iter()
            .map(|s| (s.name.clone(), at(10_000)))
            .collect();
        assert_eq!(names(&done, at(10_010)), ["900s"]);
        assert_eq!(names(&done, at(10_060)), ["900s", "86400s"]);
        assert_eq!(names(&done, at(9_999)), ["900s", "86400s", "604800s"]);
    }
}
