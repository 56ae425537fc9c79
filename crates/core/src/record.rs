//! A raw record of the audit log: its own bytes on one line.
//!
//! Everything that is delivered is a [`RawRecord`]; the types are for those who want to look
//! inside. A record that does not fit the types is still a [`RawRecord`], so nothing is dropped.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::creation_date;
use crate::error::{Error, ErrorKind};
use crate::fingerprint::Fingerprint;
use crate::json::decode;
use crate::json::scan::Element;
use crate::json::strings as json;
use crate::time::Timestamp;
use crate::typed::AuditRecord;

/// A record as the server wrote it, on one line.
///
/// Only white space between tokens is removed, and only when there is any. Numbers keep their
/// spelling, keys their order, strings their escapes.
#[derive(Clone)]
pub struct RawRecord {
    line: Bytes,
    /// Where its time begins, if that was seen when the record was found.
    time_at: Option<usize>,
}

impl RawRecord {
    /// Takes the text of one record.
    ///
    /// # Errors
    /// [`ErrorKind::UnexpectedJson`] when the text is not one JSON value.
    pub fn parse(text: impl Into<Bytes>) -> Result<Self, Error> {
        let text = text.into();
        let value: &RawValue = serde_json::from_slice(&text).map_err(|e| {
            Error::new(ErrorKind::UnexpectedJson, "a record is not JSON")
                .with_source(decode::cause(&e))
        })?;
        Ok(Self::within(&text, value.get()))
    }

    /// The record whose line is known from [`line`](Self::line), as one that was kept somewhere:
    /// nothing of it is checked again.
    pub fn from_line(line: Bytes) -> Self {
        let time_at = None;
        Self { line, time_at }
    }

    /// The record whose well-formed text is `text`, a part of `body`, whose memory it shares.
    pub(crate) fn within(body: &Bytes, text: &str) -> Self {
        Self::from_line(match json::compact(text.as_bytes()) {
            Cow::Borrowed(line) => body.slice_ref(line),
            Cow::Owned(line) => line.into(),
        })
    }

    /// The record that was found in `body`, whose memory it shares, when the key of its time was
    /// looked for.
    pub(crate) fn found(body: &Bytes, element: &Element) -> Self {
        let line = body.slice(element.range.clone());
        if !element.is_compact {
            return Self::from_line(json::compact(&line).into_owned().into());
        }
        let time_at = element.member.map(|at| at - element.range.start);
        Self { line, time_at }
    }

    /// The record on one line, without a line break at its end.
    pub fn line(&self) -> &Bytes {
        &self.line
    }

    /// The same as text.
    pub fn as_str(&self) -> &str {
        // It was checked when it was parsed; an empty string is not a record and stands out.
        std::str::from_utf8(&self.line).unwrap_or_default()
    }

    /// When the event happened (`creationDate`); `None` when the record does not say so in any
    /// form that is known: a number or a string of milliseconds, or RFC 3339. It is looked up at
    /// each call.
    pub fn time(&self) -> Option<Timestamp> {
        creation_date::read(&self.line[self.time_range()?])
    }

    /// The value of `creationDate` as it is written, a JSON text. It is looked up at each call.
    pub fn time_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.line[self.time_range()?]).ok()
    }

    fn time_range(&self) -> Option<Range<usize>> {
        let line = &self.line[..];
        if let Some(at) = self.time_at {
            return Some(at..json::value_end(line, at));
        }
        json::members(line)
            .find(|member| &line[member.key.clone()] == creation_date::KEY)
            .map(|member| member.value)
    }

    /// The name of the record's content. It is computed at each call.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.line)
    }

    /// The record with its types.
    ///
    /// # Errors
    /// [`ErrorKind::UnexpectedJson`] when it does not fit them; the raw record is still good to
    /// be passed on.
    pub fn record(&self) -> Result<AuditRecord<'_>, Error> {
        self.decode()
    }

    /// The record as a type of yours, which may borrow from it.
    ///
    /// ```
    /// use confluence_audit_core::RawRecord;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct What<'a> {
    ///     #[serde(borrow)]
    ///     summary: std::borrow::Cow<'a, str>,
    /// }
    /// let record = RawRecord::parse(r#"{"summary":"Page moved","creationDate":1643097111962}"#)?;
    /// assert_eq!(record.decode::<What<'_>>()?.summary, "Page moved");
    /// # Ok::<(), confluence_audit_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::UnexpectedJson`] when the record does not fit the type.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Error> {
        serde_json::from_str(self.as_str()).map_err(|e| {
            Error::new(ErrorKind::UnexpectedJson, "a record does not fit its types")
                .with_source(decode::cause(&e))
        })
    }
}

/// Records are equal whose lines are.
impl PartialEq for RawRecord {
    fn eq(&self, other: &Self) -> bool {
        self.line == other.line
    }
}

impl Eq for RawRecord {}

impl Hash for RawRecord {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.line.hash(state);
    }
}

/// The record's text.
impl fmt::Debug for RawRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use serde_json::json;

    use super::*;

    fn time(creation_date: &str) -> Option<i64> {
        let text = format!(r#"{{ "a": {{"creationDate": 1}}, "creationDate": {creation_date} }}"#);
        RawRecord::parse(text)
            .unwrap()
            .time()
            .map(Timestamp::as_millis)
    }

    #[test]
    fn the_time_is_found_in_every_form_and_only_at_the_top() {
        for form in [
            "1643097111962",
            r#""1643097111962""#,
            r#"" 1643097111962 ""#,
            "1643097111962.0",
            "1.643097111962E12",
            r#""2022-01-25T07:51:51.962Z""#,
            r#""2022-01-25T08:51:51.962+01:00""#,
        ] {
            assert_eq!(time(form), Some(1_643_097_111_962), "{form}");
        }
        for form in [
            "null",
            "true",
            r#""soon""#,
            "1.5",
            "1e300",
            "{}",
            "[1]",
            r#""""#,
        ] {
            assert_eq!(time(form), None, "{form}");
        }
    }

    #[test]
    fn a_record_that_is_no_object_is_still_a_record() {
        for text in ["null", "17", "\"text\"", "[1,2]", "{}"] {
            let record = RawRecord::parse(text).unwrap();
            assert_eq!((record.as_str(), record.time()), (text, None));
            record.fingerprint();
        }
        assert!(RawRecord::parse("{} {}").is_err());
        assert!(RawRecord::parse("").is_err());
    }

    #[test]
    fn bytes_pass_through_on_one_line_with_numbers_and_keys_as_they_were() {
        let text = "{ \"z\" : 1.0,\r\n \"a\":\t[1e400, 12345678901234567890, -0] , \"s\": \"\\/ \\u00e9 \\ud800\" }";
        let record = RawRecord::parse(text).unwrap();
        assert_eq!(
            record.as_str(),
            r#"{"z":1.0,"a":[1e400,12345678901234567890,-0],"s":"\/ \u00e9 \ud800"}"#
        );
    }

    #[test]
    fn the_cause_of_an_untyped_record_quotes_nothing_and_cannot_steer_a_terminal() {
        for record in [
            json!({"creationDate": "\u{9b}31m\u{202e}canary"}),
            json!({"creationDate": 1, "sysAdmin": "\u{9b}31m\u{202e}canary"}),
            json!({"creationDate": 1, "author": "\"\u{9b}31m\" \u{202e}canary"}),
        ] {
            let record = RawRecord::parse(record.to_string()).unwrap();
            let cause = record.record().unwrap_err().source().unwrap().to_string();
            let leaks = cause.contains(['\u{9b}', '\u{202e}']) || cause.contains("canary");
            assert!(!leaks, "{cause:?}");
        }
    }
}
