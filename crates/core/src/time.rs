//! A point in time as Confluence writes it: milliseconds since the Unix epoch.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z; negative before it.
///
/// The API's `creationDate`, `startDate` and `endDate` are all of this unit.
///
/// ```
/// use confluence_audit_core::Timestamp;
///
/// let time = Timestamp::from_millis(1_643_097_111_962);
/// assert_eq!(time.to_string(), "2022-01-25T07:51:51.962Z");
/// assert_eq!(Timestamp::parse_rfc3339("2022-01-25T07:51:51.962Z"), Some(time));
/// ```
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339, with or without seconds and fraction (`2026-03-26T16:00Z`); sub-millisecond
    /// digits are cut off. `None` when it is nothing of the kind.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let instant: jiff::Timestamp = text.trim().parse().ok()?;
        Some(Self(instant.as_millisecond()))
    }

    /// Reads an HTTP date (`Sun, 06 Nov 1994 08:49:37 GMT`), as in the headers `Date` and
    /// `Retry-After`, in its two obsolete forms as well (`Sunday, 06-Nov-94 08:49:37 GMT`,
    /// `Sun Nov  6 08:49:37 1994`). `None` when it is nothing of the kind.
    pub fn parse_http_date(text: &str) -> Option<Self> {
        let text = text.trim();
        let obsolete = |form| {
            let time = jiff::civil::DateTime::strptime(form, text).ok()?;
            Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
        };
        let instant = jiff::fmt::rfc2822::parse(text)
            .map(|time| time.timestamp())
            .ok()
            .or_else(|| obsolete("%A, %d-%b-%y %H:%M:%S GMT"))
            .or_else(|| obsolete("%a %b %e %H:%M:%S %Y"))?;
        Some(Self(instant.as_millisecond()))
    }

    /// This instant moved forward by `duration`, held at the ends of the range.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// This instant moved back by `duration`, held at the ends of the range.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// How long it is from `earlier` to this instant; zero when `earlier` is the later of the two.
    pub fn since(self, earlier: Self) -> Duration {
        let millis = self.0.saturating_sub(earlier.0);
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(millis(after)),
            Err(before) => Self(-millis(before.duration())),
        }
    }
}

/// RFC 3339 in UTC with milliseconds; the bare number when no calendar reaches that far.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_and_iso_dates_are_read_in_every_form_the_service_uses() {
        let reset = Timestamp::parse_rfc3339("2026-03-26T16:00Z");
        assert_eq!(reset, Timestamp::parse_rfc3339("2026-03-26T16:00:00.000Z"));
        assert!(reset.is_some());
        for form in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            let date = Timestamp::parse_http_date(form);
            assert_eq!(
                date,
                Some(Timestamp::from_millis(784_111_777_000)),
                "{form}"
            );
        }
        assert_eq!(Timestamp::parse_rfc3339("soon"), None);
        assert_eq!(Timestamp::parse_http_date("120"), None);
    }

    #[test]
    fn arithmetic_holds_at_the_ends_of_the_range() {
        let day = Duration::from_hours(24);
        let end = Timestamp::from_millis(i64::MAX);
        assert_eq!(end.saturating_add(day), end);
        assert_eq!(Timestamp::from_millis(0).since(end), Duration::ZERO);
        assert_eq!(end.to_string(), i64::MAX.to_string());
    }
}
