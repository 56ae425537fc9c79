//! A JSON writer that leaves out empty values.
//!
//! Left out at every depth are `null`, `""`, `{}` and `[]`, and what becomes one of them by that.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use confluence_audit_core::{Timestamp, printable_json};
use serde::Deserialize;
use serde_json::Value;

use crate::text::push_escaped;

/// A document that is being written.
pub(crate) struct Json(String);

impl Json {
    /// The object that `fill` writes the members of, on one line that can neither break nor steer
    /// a terminal; `likely` is how long that will be.
    pub(crate) fn document(likely: usize, fill: impl FnOnce(&mut Self)) -> String {
        let mut json = Self(String::with_capacity(likely));
        json.0.push('{');
        fill(&mut json);
        json.0.push('}');
        safe_line(json.0)
    }

    /// A member that is a text.
    pub(crate) fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.begin(key);
            push_string(&mut self.0, text);
        }
    }

    /// A member that is a number, `true` or `false`.
    pub(crate) fn plain(&mut self, key: &str, value: impl Display) {
        self.begin(key);
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{value}");
    }

    /// A member that is an object.
    pub(crate) fn object(&mut self, key: &str, fill: impl FnOnce(&mut Self)) {
        let begin = self.begin(key);
        let inside = self.open('{');
        fill(self);
        self.close(begin, inside, '}');
    }

    /// A member that is a list.
    pub(crate) fn list(&mut self, key: &str, fill: impl FnOnce(&mut Self)) {
        let begin = self.begin(key);
        let inside = self.open('[');
        fill(self);
        self.close(begin, inside, ']');
    }

    /// A member that is a list of texts.
    pub(crate) fn texts<'a>(&mut self, key: &str, texts: impl IntoIterator<Item = &'a str>) {
        self.list(key, |json| {
            for text in texts {
                if !text.is_empty() {
                    json.begin_element();
                    push_string(&mut json.0, text);
                }
            }
        });
    }

    /// An element that is an object.
    pub(crate) fn element(&mut self, fill: impl FnOnce(&mut Self)) {
        let begin = self.begin_element();
        let inside = self.open('{');
        fill(self);
        self.close(begin, inside, '}');
    }

    /// A member that is any value.
    pub(crate) fn value(&mut self, key: &str, value: &Value) {
        let begin = self.begin_any(key);
        self.rest(begin, value);
    }

    /// The value behind a key or a comma that begins at `begin`.
    pub(crate) fn rest(&mut self, begin: usize, value: &Value) {
        match value {
            Value::Object(members) => {
                let inside = self.open('{');
                for (key, value) in members {
                    self.value(key, value);
                }
                self.close(begin, inside, '}');
            }
            Value::Array(elements) => {
                let inside = self.open('[');
                for element in elements {
                    let begin = self.begin_element();
                    self.rest(begin, element);
                }
                self.close(begin, inside, ']');
            }
            Value::Null => self.take_back(begin),
            Value::String(text) => self.string(begin, text),
            Value::Bool(_) | Value::Number(_) => {
                let _ = write!(self.0, "{value}");
            }
        }
    }

    /// The same for a text.
    pub(crate) fn string(&mut self, begin: usize, text: &str) {
        if text.is_empty() {
            self.take_back(begin);
        } else {
            push_string(&mut self.0, text);
        }
    }

    /// Begins a member of the format itself, in whose key nothing needs an escape; says where.
    pub(crate) fn begin(&mut self, key: &str) -> usize {
        let begin = self.begin_element();
        self.0.push('"');
        self.0.push_str(key);
        self.0.push_str("\":");
        begin
    }

    /// Begins a member with any key.
    pub(crate) fn begin_any(&mut self, key: &str) -> usize {
        let begin = self.begin_element();
        push_string(&mut self.0, key);
        self.0.push(':');
        begin
    }

    /// Begins an element.
    pub(crate) fn begin_element(&mut self) -> usize {
        let begin = self.0.len();
        // A bracket that opens is the last byte only where nothing was written behind it.
        if !matches!(self.0.as_bytes().last(), Some(b'{' | b'[')) {
            self.0.push(',');
        }
        begin
    }

    /// Takes back what was written from `begin` on.
    pub(crate) fn take_back(&mut self, begin: usize) {
        self.0.truncate(begin);
    }

    /// Opens an object or a list, and says where the inside of it begins.
    pub(crate) fn open(&mut self, bracket: char) -> usize {
        self.0.push(bracket);
        self.0.len()
    }

    /// Closes it; one that stayed empty is taken back with all from `begin` on.
    pub(crate) fn close(&mut self, begin: usize, inside: usize, bracket: char) {
        if self.0.len() == inside {
            self.take_back(begin);
        } else {
            self.0.push(bracket);
        }
    }
}

/// The JSON text `json` on one line that can neither break nor steer a terminal.
pub(crate) fn safe_line(json: String) -> String {
    match printable_json(&json) {
        Cow::Borrowed(_) => json,
        Cow::Owned(safe) => safe,
    }
}

/// A string that is read, borrowed where no escape is in it.
#[derive(Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// Appends the text as a JSON string.
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let special = |byte| matches!(byte, 0..0x20 | b'"' | b'\\');
    push_escaped(out, text, special, |out, char| match char {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        char => {
            let _ = write!(out, "\\u{:04x}", u32::from(char));
        }
    });
    out.push('"');
}

/// The time in RFC 3339, with a year of four digits; `None` outside of those years.
pub(crate) fn rfc3339(time: Timestamp) -> Option<String> {
    let text = time.to_string();
    // A time beyond the calendar displays as a bare number, one before the year 0 with a sign.
    (text.ends_with('Z') && !text.starts_with('-')).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_becomes_empty_by_pruning_is_pruned_too() {
        let value = json!({
            "a": {"b": {"c": [null, "", {}, [[]], {"d": null}]}},
            "no": false, "zero": 0, "list": ["", "x", [], "y"],
        });
        let line = Json::document(0, |json| {
            json.text("empty", "");
            json.object("own", |json| json.list("l", |json| json.element(|_| ())));
            json.texts("texts", ["", "a", "", "b"]);
            json.value("v", &value);
        });
        let expected = r#"{"texts":["a","b"],"v":{"no":false,"zero":0,"list":["x","y"]}}"#;
        assert_eq!(line, expected);
    }

    proptest! {
        #[test]
        fn a_text_is_written_as_serde_json_writes_it(text in any::<String>()) {
            let mut out = String::new();
            push_string(&mut out, &text);
            prop_assert_eq!(out, Value::from(text).to_string());
        }
    }

    #[test]
    fn only_times_that_every_reader_of_rfc_3339_knows_are_written() {
        let of = |millis| rfc3339(Timestamp::from_millis(millis));
        assert_eq!(of(0).as_deref(), Some("1970-01-01T00:00:00.000Z"));
        assert_eq!(of(-1).as_deref(), Some("1969-12-31T23:59:59.999Z"));
        for beyond in [i64::MIN, -62_167_219_200_001, 253_402_300_800_000, i64::MAX] {
            assert_eq!(of(beyond), None, "{beyond}");
        }
    }
}
