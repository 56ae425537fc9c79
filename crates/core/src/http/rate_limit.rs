//! Rate limits: `Retry-After` and `X-RateLimit-Reset` of a response.
//!
//! A header can only ever lengthen a wait, if need be beyond every budget, or be ignored: none
//! fails a request by its form.

use std::time::Duration;

use http::HeaderMap;

use crate::time::Timestamp;

/// No service is believed for longer: then it is asked once more. A date of next year, or seconds
/// that were meant as milliseconds, would silence a daemon for good.
const LONGEST: Duration = Duration::from_hours(1);

/// How long the answer asks to wait before the next request, if it says so in a form that is
/// known: `Retry-After` in seconds or as a date, else `X-RateLimit-Reset` as a time, with or
/// without seconds, or as seconds since the epoch.
///
/// A date is counted from the answer's own `Date`, so that this host's clock does not matter;
/// `now` stands in when there is none. What is past is no wait at all, and what is more than an
/// hour is an hour.
///
/// ```
/// use std::time::Duration;
/// use confluence_audit_core::{Timestamp, rate_limit};
///
/// let mut headers = http::HeaderMap::new();
/// headers.insert("retry-after", http::HeaderValue::from_static("30"));
/// let wait = rate_limit::wait(&headers, Timestamp::from_millis(0));
/// assert_eq!(wait, Some(Duration::from_secs(30)));
/// ```
pub fn wait(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    let now = server_time(headers).unwrap_or(now);
    let until = |time: Timestamp| time.since(now);
    let after = text("retry-after")
        .and_then(|text| seconds(text).or_else(|| Timestamp::parse_http_date(text).map(until)));
    let reset = || {
        text("x-ratelimit-reset").and_then(|text| {
            Timestamp::parse_rfc3339(text)
                .or_else(|| epoch_seconds(text))
                .map(until)
        })
    };
    after.or_else(reset).map(|wait| wait.min(LONGEST))
}

/// The server's clock, from the header `Date`: whole seconds.
pub fn server_time(headers: &HeaderMap) -> Option<Timestamp> {
    Timestamp::parse_http_date(headers.get("date")?.to_str().ok()?)
}

fn seconds(text: &str) -> Option<Duration> {
    // Some gateways write a fraction.
    let seconds: f64 = text.parse().ok()?;
    // What no duration can hold is longer than anybody waits.
    (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

fn epoch_seconds(text: &str) -> Option<Timestamp> {
    let seconds: i64 = text.parse().ok()?;
    // A small number is no time since the epoch, and which unit it has nobody says.
    (seconds > 1_000_000_000).then_some(Timestamp::from_millis(seconds.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn waits(pairs: &[(&'static str, &str)]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let now = Timestamp::parse_rfc3339("2026-03-26T15:59:00Z").unwrap();
        wait(&headers, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn every_documented_form_is_understood() {
        assert_eq!(waits(&[("retry-after", "7")]), Some(7));
        assert_eq!(
            waits(&[("retry-after", "Thu, 26 Mar 2026 15:59:20 GMT")]),
            Some(20)
        );
        assert_eq!(
            waits(&[("x-ratelimit-reset", "2026-03-26T16:00Z")]),
            Some(60)
        );
        assert_eq!(
            waits(&[("x-ratelimit-reset", "2026-03-26T15:59:05Z")]),
            Some(5)
        );
        assert_eq!(waits(&[("x-ratelimit-reset", "1774540750")]), Some(10));
        assert_eq!(waits(&[]), None);
    }

    #[test]
    fn the_servers_clock_counts_and_not_ours() {
        let date = ("date", "Thu, 26 Mar 2026 12:00:00 GMT");
        assert_eq!(
            waits(&[date, ("retry-after", "Thu, 26 Mar 2026 12:00:09 GMT")]),
            Some(9)
        );
    }

    #[test]
    fn an_odd_header_gives_way_to_the_next_or_is_ignored() {
        let reset = ("x-ratelimit-reset", "2026-03-26T16:00Z");
        for odd in ["soon", "-5", "", "-1e99999", "NaN", "-inf"] {
            assert_eq!(waits(&[("retry-after", odd), reset]), Some(60), "{odd}");
            assert_eq!(waits(&[("retry-after", odd)]), None, "{odd}");
        }
        assert_eq!(
            waits(&[("retry-after", "Thu, 26 Mar 2020 12:00:09 GMT")]),
            Some(0)
        );
    }

    #[test]
    fn a_wait_beyond_an_hour_is_an_hour_and_one_beyond_every_number_is_not_ignored() {
        let reset = ("x-ratelimit-reset", "2026-03-26T16:00Z");
        for huge in ["99999999999999999999", "1e99999", "inf"] {
            assert_eq!(waits(&[("retry-after", huge), reset]), Some(3_600));
        }
        let reset = ("x-ratelimit-reset", "9223372036854775807");
        assert_eq!(waits(&[reset]), Some(3_600));
        assert_eq!(
            waits(&[("retry-after", "Fri, 26 Mar 2027 12:00:00 GMT")]),
            Some(3_600)
        );
    }

    proptest! {
        #[test]
        fn no_header_can_panic(value in prop::collection::vec(32_u8..=255, 0..60)) {
            let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
            let mut headers = HeaderMap::new();
            for name in ["retry-after", "x-ratelimit-reset", "date"] {
                headers.insert(name, value.clone());
            }
            wait(&headers, Timestamp::from_millis(0));
        }
    }
}
