//! Times and durations as people write them: the `T` of `--since`, `start` and `interval`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use confluence_audit_core::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo};

/// A point in time that someone wrote down, either as such or as an age.
///
/// ```
/// use confluence_audit_collector::config::When;
/// use confluence_audit_core::Timestamp;
///
/// let now = Timestamp::from_millis(1_700_000_000_000);
/// let since = When::parse("90m")?;
/// assert_eq!(since.at(now), Timestamp::from_millis(1_699_994_600_000));
/// # Ok::<(), confluence_audit_collector::config::ParseWhenError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// This instant.
    Instant(Timestamp),
    /// So long before now.
    Age(Duration),
}

impl When {
    /// Reads RFC 3339 (`2026-03-26T16:00:00Z`), a date (`2026-03-26`, its midnight in UTC),
    /// epoch milliseconds (`1774540800000`), or an age (`10s`, `90m`, `2h`, `7d`, `4w`).
    ///
    /// # Errors
    ///
    /// When the text is none of these; the error names them.
    pub fn parse(text: &str) -> Result<Self, ParseWhenError> {
        let text = text.trim();
        let refused = |reason| ParseWhenError {
            text: text.to_owned(),
            reason,
        };
        let digits = text.strip_prefix('-').unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let millis: i64 = text.parse().map_err(|_| refused(Reason::NotATime))?;
            // Before 1973 there is nothing to audit, but there are seconds taken for milliseconds
            // and ages without their unit. Zero is "from the beginning".
            if millis != 0 && millis.unsigned_abs() < 100_000_000_000 {
                return Err(refused(Reason::BareNumber));
            }
            return Ok(Self::Instant(Timestamp::from_millis(millis)));
        }
        if let Some(age) = duration(text) {
            return Ok(Self::Age(age));
        }
        if let Ok(date) = text.parse::<Date>()
            && text.len() == "2026-03-26".len()
            && let Ok(midnight) = date.to_zoned(TimeZone::UTC)
        {
            let millis = midnight.timestamp().as_millisecond();
            return Ok(Self::Instant(Timestamp::from_millis(millis)));
        }
        Timestamp::parse_rfc3339(text)
            .map(Self::Instant)
            .ok_or_else(|| refused(Reason::NotATime))
    }

    /// The instant it means at `now`.
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Instant(instant) => instant,
            Self::Age(age) => now.saturating_sub(age),
        }
    }
}

impl FromStr for When {
    type Err = ParseWhenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Reads a duration (`10s`, `90m`, `2h`, `7d`, `4w`) that is longer than nothing, as `interval`.
///
/// # Errors
///
/// When the text is not one whole number with one of these units, or is zero.
pub fn parse_duration(text: &str) -> Result<Duration, ParseWhenError> {
    let text = text.trim();
    match duration(text) {
        Some(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(ParseWhenError {
            text: text.to_owned(),
            reason: Reason::NotADuration,
        }),
    }
}

/// One whole number with one unit. jiff would read more, such as `1h 30m`, `-2 days` or `1y`.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_number = unit.len() < text.len();
    if !is_number || !matches!(unit, "ms" | "s" | "m" | "h" | "d" | "w") {
        return None;
    }
    let span: Span = text.parse().ok()?;
    let days_are_24_hours = SpanRelativeTo::days_are_24_hours();
    Duration::try_from(span.to_duration(days_are_24_hours).ok()?).ok()
}

/// A text that is no time, or no duration. It says which forms there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseWhenError {
    text: String,
    reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    NotATime,
    BareNumber,
    NotADuration,
}

impl fmt::Display for ParseWhenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text.escape_debug();
        match self.reason {
            Reason::NotATime => write!(
                f,
                "`{text}` is not a time; write 2026-03-26T16:00:00Z, 2026-03-26 (midnight UTC), \
                 epoch milliseconds, or an age such as 90m, 12h, 7d or 4w"
            ),
            Reason::BareNumber => write!(
                f,
                "`{text}` is too small for epoch milliseconds, which have 13 digits today; an age \
                 needs its unit, such as 90m, 12h, 7d or 4w"
            ),
            Reason::NotADuration => write!(
                f,
                "`{text}` is not a duration; write a whole number above zero with its unit, such \
                 as 30s, 10m, 2h, 7d or 4w"
            ),
        }
    }
}

impl std::error::Error for ParseWhenError {}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_774_540_800_000);

    fn at(text: &str) -> i64 {
        let when = When::parse(text).unwrap_or_else(|error| panic!("{error}"));
        when.at(NOW).as_millis()
    }

    #[test]
    fn every_promised_form_is_read() {
        assert_eq!(at("2026-03-26T16:00:00Z"), 1_774_540_800_000);
        assert_eq!(at("2026-03-26T17:00:00.5+01:00"), 1_774_540_800_500);
        assert_eq!(at("2026-03-26"), 1_774_483_200_000);
        assert_eq!(at("1774540800000"), 1_774_540_800_000);
        assert_eq!(at("0"), 0);
        assert_eq!(at("10s"), NOW.as_millis() - 10_000);
        assert_eq!(at("90m"), NOW.as_millis() - 5_400_000);
        assert_eq!(at("2h"), NOW.as_millis() - 7_200_000);
        assert_eq!(at("7d"), NOW.as_millis() - 604_800_000);
        assert_eq!(at("4w"), NOW.as_millis() - 2_419_200_000);
    }

    #[test]
    fn what_is_no_time_is_refused_with_the_forms_there_are() {
        for text in [
            "",
            "yesterday",
            "7",
            "7 d",
            "-7d",
            "d",
            "1.5h",
            "7D",
            "2026-02-30",
            "2026-3-1",
            "2026-03-26T16:00:00",
            "20260326",
            "99999999999999999999",
            "99999999999999999999w",
            "é",
            "7é",
        ] {
            let error = When::parse(text).expect_err(text).to_string();
            assert!(error.contains("7d"), "{error}");
        }
    }

    #[test]
    fn seconds_are_not_taken_for_milliseconds() {
        let error = When::parse("1774540800").expect_err("seconds");
        assert!(error.to_string().contains("13 digits"), "{error}");
    }

    #[test]
    fn an_age_of_twenty_thousand_years_is_the_longest() {
        assert_eq!(at("1043497w"), NOW.as_millis() - 631_106_985_600_000);
        assert!(When::parse("1043498w").is_err());
        assert!(When::parse("9999999999999w").is_err());
    }

    #[test]
    fn an_interval_has_a_unit_and_is_longer_than_nothing() {
        assert_eq!(parse_duration("10m"), Ok(Duration::from_mins(10)));
        for text in ["0s", "10", "ten minutes", "2026-03-26", "-1m", ""] {
            let error = parse_duration(text).expect_err(text).to_string();
            assert!(error.contains("10m"), "{error}");
        }
    }
}
