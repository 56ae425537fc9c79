//! How things are said on the page.

use std::time::Duration;

use confluence_audit_core::{Timestamp, printable};

/// Text from a stranger as it stands in a page, in an attribute as well.
pub(super) fn escaped(text: &str, most: usize) -> String {
    let printable = printable(text, most);
    let mut out = String::with_capacity(printable.len() + 16);
    for char in printable.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

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
pub(super) fn ago(at: Option<Timestamp>, now: Timestamp) -> String {
    match at {
        None => "–".to_owned(),
        Some(at) => {
            let ago = match now.since(at) {
                span if span < Duration::from_secs(1) => "just now".to_owned(),
                span => format!("{} ago", long(span)),
            };
            format!("<time datetime=\"{at}\" title=\"{at}\">{ago}</time>")
        }
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
pub(super) fn instant(at: Timestamp) -> String {
    let text = at.to_string();
    let shown = text.split_once('.').map_or(text.as_str(), |(text, _)| text);
    format!(
        "<time datetime=\"{at}\">{} UTC</time>",
        shown.trim_end_matches('Z').replace('T', " ")
    )
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
    use proptest::prelude::*;

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
        assert!(instant(at).contains(">2026-01-02 03:04:05 UTC<"));
    }

    proptest! {
        #[test]
        fn no_text_opens_a_tag_or_ends_an_attribute(text in any::<String>()) {
            let shown = escaped(&text, 10_000);
            prop_assert!(!shown.contains(['<', '>', '"', '\'']));
            prop_assert!(shown.chars().all(|char| !char.is_control()));
        }
    }
}
