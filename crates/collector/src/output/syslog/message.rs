//! A record as an RFC 5424 message, and the framing of messages on a stream.
//!
//! `<PRI>1 TIME SITE APP-NAME - audit [event@ENTERPRISE id="…" site="…"] LINE`

use std::fmt::Write as _;

use confluence_audit_core::Timestamp;

use super::config::{SyslogConfig, SyslogFraming};
use crate::output::Entry;

/// What the header may hold of a host's name.
const HOSTNAME: usize = 255;

/// The part of a message that is the same for all records.
#[derive(Clone, Debug)]
pub(super) struct Template {
    priority: u8,
    app_name: String,
    enterprise_id: u32,
    bom: bool,
}

impl Template {
    pub(super) fn new(config: &SyslogConfig) -> Self {
        Self {
            priority: config.facility * 8 + config.severity,
            app_name: config.app_name.clone(),
            enterprise_id: config.enterprise_id,
            bom: config.bom,
        }
    }

    /// The message of a record that is called `id`.
    pub(super) fn message(&self, entry: &Entry, id: &str) -> Vec<u8> {
        let mut header = format!("<{}>1 ", self.priority);
        match time(entry.time) {
            Some(time) => header.push_str(&time),
            None => header.push('-'),
        }
        header.push(' ');
        push_name(&mut header, &entry.site);
        // Writing to a text does not fail.
        let _ = write!(
            header,
            " {} - audit [event@{} id=\"",
            self.app_name, self.enterprise_id
        );
        push_value(&mut header, id);
        header.push_str("\" site=\"");
        push_value(&mut header, &entry.site);
        header.push_str("\"] ");
        let mut message = header.into_bytes();
        message.reserve(entry.line.len() + 4);
        if self.bom && !entry.line.is_ascii() {
            message.extend_from_slice("\u{feff}".as_bytes());
        }
        message.extend_from_slice(&entry.line);
        message
    }
}

/// Adds a message to what goes over a stream.
pub(super) fn frame(framing: SyslogFraming, message: &[u8], to: &mut Vec<u8>) {
    match framing {
        SyslogFraming::OctetCounted => {
            to.extend_from_slice(message.len().to_string().as_bytes());
            to.push(b' ');
            to.extend_from_slice(message);
        }
        SyslogFraming::Newline => {
            to.extend_from_slice(message);
            to.push(b'\n');
        }
    }
}

/// In RFC 3339; a year of more than four digits has no such form.
fn time(time: Timestamp) -> Option<String> {
    let text = time.to_string();
    let has_four_digits = text.as_bytes().get(4) == Some(&b'-') && text.ends_with('Z');
    has_four_digits.then_some(text)
}

/// A name as the header may hold it: visible ASCII, and something.
fn push_name(to: &mut String, name: &str) {
    let visible = name
        .chars()
        .map(|c| if c.is_ascii_graphic() { c } else { '_' });
    to.extend(visible.take(HOSTNAME));
    if name.is_empty() {
        to.push('-');
    }
}

/// A value of structured data: three characters are escaped, and no other may be.
fn push_value(to: &mut String, value: &str) {
    for c in value.chars() {
        if matches!(c, '"' | '\\' | ']') {
            to.push('\\');
        }
        to.push(c);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use syslog_loose::{ProcId, Protocol, Variant, parse_message};

    use super::*;

    fn template(bom: bool) -> Template {
        Template {
            priority: 16 * 8 + 6,
            app_name: "confluence-audit".into(),
            enterprise_id: 32_473,
            bom,
        }
    }

    #[test]
    fn a_message_is_spelled_as_the_rfc_has_it() {
        let entry = Entry::example(r#"{"a":1}"#, 0);
        let message = template(false).message(&entry, r#"a"b]c\d"#);
        assert_eq!(
            String::from_utf8(message).unwrap(),
            r#"<134>1 2026-01-01T00:00:00.000Z acme confluence-audit - audit [event@32473 id="a\"b\]c\\d" site="acme"] {"a":1}"#
        );
    }

    #[test]
    fn only_text_beyond_ascii_has_a_mark_and_only_where_it_is_wanted() {
        let mark = "\u{feff}".as_bytes();
        for (bom, line, marked) in [(true, "ä", true), (true, "a", false), (false, "ä", false)] {
            let message = template(bom).message(&Entry::example(line, 0), "id");
            let found = memchr::memmem::find(&message, mark).is_some();
            assert_eq!(found, marked, "{bom} {line}");
        }
    }

    #[test]
    fn a_time_or_a_name_that_the_header_cannot_hold_does_not_break_it() {
        let mut entry = Entry::example("x", 0);
        entry.time = Timestamp::from_millis(-99_999_999_999_999);
        entry.site = "a b\nü".into();
        let message = template(false).message(&entry, "id");
        let text = String::from_utf8(message).unwrap();
        assert!(
            text.starts_with("<134>1 - a_b__ confluence-audit "),
            "{text}"
        );
        entry.site = "".into();
        let message = template(false).message(&entry, "id");
        assert!(message.starts_with(b"<134>1 - - confluence-audit "));
    }

    #[test]
    fn a_count_is_of_octets_and_a_line_ends_where_it_should() {
        let mut stream = Vec::new();
        for message in ["ä", "b"] {
            frame(SyslogFraming::OctetCounted, message.as_bytes(), &mut stream);
        }
        assert_eq!(stream, "2 ä1 b".as_bytes());
        stream.clear();
        frame(SyslogFraming::Newline, b"a", &mut stream);
        assert_eq!(stream, b"a\n");
    }

    proptest! {
        #[test]
        fn any_record_is_read_back_by_a_parser_that_is_not_ours(
            line in r#"[{\[a-zü"]\PC{0,60}"#,
            site in "[A-Za-z0-9._-]{1,40}",
            id in r#"[a-z0-9"\\\]ü-]{1,60}"#,
            millis in 0_i64..4_000_000_000_000,
        ) {
            let mut entry = Entry::example(line.clone(), 0);
            entry.site = site.as_str().into();
            entry.time = Timestamp::from_millis(millis);
            let message = String::from_utf8(template(false).message(&entry, &id)).unwrap();
            let read = parse_message(&message, Variant::RFC5424);
            prop_assert_eq!(&read.protocol, &Protocol::RFC5424(1));
            prop_assert_eq!(read.timestamp.map(|time| time.timestamp_millis()), Some(millis));
            let expected = (site != "-").then_some(site.as_str());
            prop_assert_eq!(read.hostname, expected);
            prop_assert_eq!(read.appname, Some("confluence-audit"));
            prop_assert_eq!(&read.procid, &None::<ProcId<&str>>);
            prop_assert_eq!(read.msgid, Some("audit"));
            prop_assert_eq!(read.structured_data.len(), 1);
            let params = read.structured_data[0].params();
            let data: Vec<(&str, String)> = params.map(|(name, value)| (*name, value)).collect();
            prop_assert_eq!(data, [("id", id), ("site", site)]);
            // The parser takes off what is white at the end; a record ends in a brace.
            prop_assert_eq!(read.msg, line.trim_end());
        }
    }
}
