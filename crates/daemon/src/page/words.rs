//! Durations, instants and numbers in the words of the status page.

use std::time::Duration;

use confluence_audit_core::Timestamp;
use maud::{Markup, html};

/// A span in its largest fitting unit.
pub(super) fn long(span: Duration) -> String {
    let seconds = span.as_secs();
    let (number, unit) = match seconds {
        0..120 => return format!("{seconds} s"),
        120..7_200 => (seconds / 60, "min"),
        7_200..172_800 => (seconds / 3_600, "h"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{} {unit}", grouped(number))
}

/// How long ago it was, with the instant itself for machines and for those who point at it.
pub(super) fn ago(at: Option<Timestamp>, now: Timestamp) -> Markup {
    html! {
        @if let Some(at) = at {
            time datetime=(at) title=(at) {
                @match now.since(at) {
                    span if span < Duration::from_secs(1) => { "just now" }
                    span => { (long(span)) " ago" }
                }
            }
        } @else { "–" }
    }
}

/// When something is due.
pub(super) fn soon(span: Duration) -> String {
    if span < Duration::from_secs(1) {
        "now".to_owned()
    } else {
        format!("in {}", long(span))
    }
}

/// An instant in full, to the second.
pub(super) fn instant(at: Timestamp) -> Markup {
    let text = at.to_string();
    let seconds = text.split_once('.').map_or(text.as_str(), |(text, _)| text);
    let seconds = seconds.trim_end_matches('Z').replace('T', " ");
    html! { time datetime=(at) { (seconds) " UTC" } }
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_read_easily() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(long(Duration::from_secs(119)), "119 s");
        assert_eq!(long(Duration::from_mins(119)), "119 min");
        assert_eq!(long(Duration::from_hours(47)), "47 h");
        assert_eq!(long(Duration::from_hours(24 * 400)), "400 days");
        let at = Timestamp::parse_rfc3339("2026-01-02T03:04:05.678Z").unwrap();
        assert!(instant(at).0.contains(">2026-01-02 03:04:05 UTC<"));
    }
}
