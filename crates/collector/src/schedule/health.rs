//! Circuit breaker of one site: how its runs ended, and how long it is not asked after failures.

use std::time::Duration;

/// So many failures in a row, and a site is asked less and less often.
const OPENS: u32 = 3;

/// So many refusals in a row, and a site is asked only now and then until a person has acted.
const QUARANTINES: u32 = 3;

/// The longest that a site is left in peace because it fails, unless its interval is longer.
const LONGEST: Duration = Duration::from_mins(30);

/// How often a site in quarantine is asked.
const QUARANTINE: Duration = Duration::from_hours(1);

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything that is new has been read.
    Done,
    /// It was told to stop, and has more to read.
    Cut,
    /// It failed for a reason that may pass by itself. The service may have said how long it wants
    /// to be left in peace: until `not_before`, zero where it has not.
    Failed {
        /// No request before this instant.
        not_before: Duration,
    },
    /// The credentials or what they permit were refused: it needs a person.
    Refused,
}

/// How the passes over a site went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It has not been read to its end since the program began.
    New,
    /// The last pass reached the end.
    Well,
    /// The last passes failed.
    Failing {
        /// How many, one after the other.
        failures: u32,
        /// How many of them because credentials were refused.
        refusals: u32,
    },
}

impl Health {
    /// How it stands after another pass.
    #[must_use]
    pub fn after(self, end: End) -> Self {
        let (failures, refusals) = match self {
            Self::New | Self::Well => (0, 0),
            Self::Failing { failures, refusals } => (failures, refusals),
        };
        match end {
            End::Done => Self::Well,
            End::Cut => self,
            End::Failed { .. } => Self::Failing {
                failures: failures.saturating_add(1),
                refusals,
            },
            End::Refused => Self::Failing {
                failures: failures.saturating_add(1),
                refusals: refusals.saturating_add(1),
            },
        }
    }

    /// Whether nothing is to be expected of the site before a person has acted.
    pub fn is_quarantined(self) -> bool {
        matches!(self, Self::Failing { refusals, .. } if refusals >= QUARANTINES)
    }

    /// Whether the site is asked less often than its interval says.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Failing { failures, .. } if failures >= OPENS)
    }

    /// How long the site is left in peace beyond its interval; `None` is not at all. `random` is a
    /// number from 0 to 1, which keeps sites apart that failed together.
    pub(super) fn pause(self, interval: Duration, random: f64) -> Option<Duration> {
        let Self::Failing { failures, .. } = self else {
            return None;
        };
        let pause = if self.is_quarantined() {
            QUARANTINE.max(interval)
        } else if self.is_open() {
            let doubled = 2_u32.saturating_pow(failures - OPENS + 1);
            interval.saturating_mul(doubled).min(LONGEST.max(interval))
        } else {
            return None;
        };
        Some(pause.mul_f64(0.7 + 0.6 * random.clamp(0.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const FAILED: End = End::Failed {
        not_before: Duration::ZERO,
    };

    fn pauses(ends: &[End]) -> Vec<Option<u64>> {
        let mut health = Health::New;
        let mut pause = |end: &End| {
            health = health.after(*end);
            health.pause(MINUTE, 0.5).map(|pause| pause.as_secs())
        };
        ends.iter().map(&mut pause).collect()
    }

    #[test]
    fn a_site_that_goes_on_failing_is_asked_less_and_less_often() {
        let pauses = pauses(&[FAILED; 8]);
        let expected = [None, None, Some(120), Some(240), Some(480), Some(960)];
        assert_eq!(pauses[..6], expected);
        assert_eq!(pauses[6..], [Some(1_800), Some(1_800)]);
    }

    #[test]
    fn a_site_that_refuses_goes_into_quarantine_and_one_success_ends_it() {
        let refused = [End::Refused, End::Refused, FAILED, End::Refused];
        assert_eq!(pauses(&refused)[3], Some(3_600));
        let health = refused
            .iter()
            .fold(Health::Well, |health, end| health.after(*end));
        assert!(health.is_quarantined() && health.is_open());
        assert_eq!(health.after(End::Done), Health::Well);
    }

    #[test]
    fn a_pass_that_was_told_to_stop_says_nothing_about_the_site() {
        let failing = Health::Well.after(FAILED);
        assert_eq!(failing.after(End::Cut), failing);
        assert_eq!(Health::Well.after(End::Cut), Health::Well);
    }

    #[test]
    fn no_pause_is_shorter_than_most_of_the_interval() {
        let day = Duration::from_hours(24);
        let mut health = Health::New;
        for end in [
            FAILED,
            FAILED,
            FAILED,
            End::Refused,
            End::Refused,
            End::Refused,
        ] {
            health = health.after(end);
            let pause = health.pause(day, 0.0);
            assert!(pause.is_none_or(|pause| pause >= day.mul_f64(0.7)));
        }
        assert!(health.is_quarantined());
    }
}
