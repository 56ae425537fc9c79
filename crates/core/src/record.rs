//! One record of the audit log: its own bytes ([`RawRecord`]), and typed ([`AuditRecord`]).
//!
//! Everything that is delivered is a [`RawRecord`]; the types are for those who want to look
//! inside. A record that does not fit the types is still a [`RawRecord`], so nothing is dropped.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::fields::Fields;
use crate::{Error, ErrorKind, Fingerprint, Timestamp, decode, json};

/// A record as the server wrote it, on one line.
///
/// Only white space between tokens is removed, and only when there is any. Numbers keep their
/// spelling, keys their order, strings their escapes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RawRecord {
    line: Bytes,
    time: Option<Timestamp>,
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

    /// The record whose well-formed text is `text`, a part of `body`, whose memory it shares.
    pub(crate) fn within(body: &Bytes, text: &str) -> Self {
        let line = match json::compact(text.as_bytes()) {
            Cow::Borrowed(line) => body.slice_ref(line),
            Cow::Owned(line) => line.into(),
        };
        let time = json::members(&line)
            .find(|member| &line[member.key.clone()] == br#""creationDate""#)
            .and_then(|member| time_of(&line[member.value]));
        Self { line, time }
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
    /// form that is known: a number or a string of milliseconds, or RFC 3339.
    pub fn time(&self) -> Option<Timestamp> {
        self.time
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
    pub fn record(&self) -> Result<AuditRecord, Error> {
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
        serde_json::from_slice(&self.line).map_err(|e| {
            Error::new(ErrorKind::UnexpectedJson, "a record does not fit its types")
                .with_source(decode::cause(&e))
        })
    }
}

/// The record's text.
impl fmt::Debug for RawRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The time that a `creationDate` of this text gives.
pub(crate) fn time_of(value: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(value).ok()?;
    let quoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let number = quoted.unwrap_or(text).trim();
    if let Ok(millis) = number.parse() {
        return Some(Timestamp::from_millis(millis));
    }
    if quoted.is_some() {
        return Timestamp::parse_rfc3339(number);
    }
    whole(number.parse().ok()?)
}

/// A number such as `1.643097111962E12`, when it is whole and exact.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked before"
)]
fn whole(number: f64) -> Option<Timestamp> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    (number.fract() == 0.0 && number.abs() <= EXACT)
        .then_some(Timestamp::from_millis(number as i64))
}

/// One event of the audit log, after the `AuditRecord` of Atlassian's `OpenAPI` document, vintages
/// 2023 and 2025, and after what real records were seen to hold.
///
/// Fields that are documented as required but missing, or `null`, read as empty. Fields that are
/// not known are kept in `extra` and written back, and so is an optional field that is `null`.
///
/// ```
/// use confluence_audit_core::AuditRecord;
///
/// let record: AuditRecord = serde_json::from_str(
///     r#"{"author":{"type":"user","displayName":"System"},"creationDate":"1643097111962",
///         "summary":"User created","category":"Users and groups","sysAdmin":false}"#,
/// )?;
/// assert!(record.author.is_system());
/// assert_eq!(record.creation_date.to_string(), "2022-01-25T07:51:51.962Z");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AuditRecord {
    /// Who did it.
    pub author: Author,
    /// The address it was done from; empty on some records, of people too.
    pub remote_address: String,
    /// When.
    pub creation_date: Timestamp,
    /// What: prose that may be localised, never an enumeration.
    pub summary: String,
    /// More of it, mostly empty.
    pub description: String,
    /// The area it belongs to: prose, as the summary.
    pub category: String,
    /// Whether a system administrator did it.
    pub sys_admin: bool,
    /// Whether it was done with the powers of a super administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub super_admin: Option<bool>,
    /// What it was done to.
    pub affected_object: AffectedObject,
    /// What changed.
    pub changed_values: Vec<ChangedValue>,
    /// What else it concerns.
    pub associated_objects: Vec<AffectedObject>,
    /// Every other field, in its order.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Who caused an event.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Author {
    /// `user`, also for the system.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name as it is when the log is read; `System` for the system.
    pub display_name: String,
    /// `null`, an object or an array, by vintage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<Value>,
    /// The same as the account id, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Deprecated by Atlassian.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_key: Option<String>,
    /// 24 or 32 hexadecimal digits, or `digits:uuid`; none for the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// Mostly empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_type: Option<String>,
    /// Deprecated by Atlassian in favour of [`is_guest`](Self::is_guest).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_collaborator: Option<bool>,
    /// Deprecated by Atlassian in favour of [`is_guest`](Self::is_guest).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_external_collaborator: Option<bool>,
    /// Whether the account is a guest; newer records only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_guest: Option<bool>,
    /// Mostly `Unknown user`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_name: Option<String>,
    /// Every other field, in its order.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Author {
    /// Whether no account stands behind the event: none of the three ids is given.
    pub fn is_system(&self) -> bool {
        self.account_id.is_none() && self.user_key.is_none() && self.username.is_none()
    }
}

/// A thing that an event concerns; both parts may be empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AffectedObject {
    /// Its name; a group's is `name:uuid`.
    pub name: String,
    /// `Space`, `Page`, `User`, `Group` and more; an open set.
    pub object_type: String,
    /// Every other field, in its order.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One value before and after.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ChangedValue {
    /// What changed.
    pub name: String,
    /// Before.
    pub old_value: String,
    /// After.
    pub new_value: String,
    /// Before, where the interface does not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_old_value: Option<String>,
    /// After, where the interface does not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_new_value: Option<String>,
    /// Every other field, in its order.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl<'de> Deserialize<'de> for AuditRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        let time = fields
            .take_value("creationDate")
            .ok_or_else(|| D::Error::missing_field("creationDate"))?;
        Ok(Self {
            author: fields.take("author")?,
            remote_address: fields.take("remoteAddress")?,
            creation_date: time_of(time.to_string().as_bytes())
                .ok_or_else(|| D::Error::custom("creationDate is no time"))?,
            summary: fields.take("summary")?,
            description: fields.take("description")?,
            category: fields.take("category")?,
            sys_admin: fields.take("sysAdmin")?,
            super_admin: fields.take_optional("superAdmin")?,
            affected_object: fields.take("affectedObject")?,
            changed_values: fields.take("changedValues")?,
            associated_objects: fields.take("associatedObjects")?,
            extra: fields.rest(),
        })
    }
}

impl<'de> Deserialize<'de> for Author {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            kind: fields.take("type")?,
            display_name: fields.take("displayName")?,
            operations: fields.take_value("operations"),
            username: fields.take_optional("username")?,
            user_key: fields.take_optional("userKey")?,
            account_id: fields.take_optional("accountId")?,
            account_type: fields.take_optional("accountType")?,
            external_collaborator: fields.take_optional("externalCollaborator")?,
            is_external_collaborator: fields.take_optional("isExternalCollaborator")?,
            is_guest: fields.take_optional("isGuest")?,
            public_name: fields.take_optional("publicName")?,
            extra: fields.rest(),
        })
    }
}

impl<'de> Deserialize<'de> for AffectedObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            name: fields.take("name")?,
            object_type: fields.take("objectType")?,
            extra: fields.rest(),
        })
    }
}

impl<'de> Deserialize<'de> for ChangedValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Fields::deserialize(deserializer)?;
        Ok(Self {
            name: fields.take("name")?,
            old_value: fields.take("oldValue")?,
            new_value: fields.take("newValue")?,
            hidden_old_value: fields.take_optional("hiddenOldValue")?,
            hidden_new_value: fields.take_optional("hiddenNewValue")?,
            extra: fields.rest(),
        })
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
    fn typed_records_write_back_every_field_they_were_read_from() {
        for operations in [
            "null",
            "{}",
            "[]",
            r#"[{"operation":"read","targetType":"page"}]"#,
        ] {
            let text = format!(
                r#"{{"author":{{"type":"user","displayName":"Ana","operations":{operations},"username":"5e72","userKey":"5e72","accountId":"5e72","accountType":"","externalCollaborator":false,"isExternalCollaborator":false,"isGuest":true,"publicName":"Unknown user","later":[1]}},"remoteAddress":"","creationDate":5,"summary":"s","description":"","category":"c","sysAdmin":true,"superAdmin":false,"affectedObject":{{"name":"","objectType":"","id":7}},"changedValues":[{{"name":"n","oldValue":"","newValue":"x","hiddenOldValue":"","hiddenNewValue":"","why":null}}],"associatedObjects":[{{"name":"g:uuid","objectType":"Group"}}],"new":{{"deep":1.0}}}}"#
            );
            let record: AuditRecord = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&record).unwrap(), text);
        }
    }

    #[test]
    fn a_null_in_an_optional_field_is_written_back_and_a_key_that_stands_twice_fits_no_type() {
        let text = r#"{"author":{"type":"","displayName":"","username":null,"x":1,"isGuest":null},"remoteAddress":"","creationDate":1,"summary":"","description":"","category":"","sysAdmin":false,"affectedObject":{"name":"","objectType":""},"changedValues":[{"name":"","oldValue":"","newValue":"","hiddenOldValue":null}],"associatedObjects":[],"superAdmin":null}"#;
        let record: AuditRecord = serde_json::from_str(text).unwrap();
        assert_eq!((record.super_admin, &record.author.username), (None, &None));
        assert_eq!(serde_json::to_string(&record).unwrap(), text);
        for twice in [
            r#"{"creationDate":1,"superAdmin":null,"superAdmin":true}"#,
            r#"{"creationDate":1,"later":1,"later":2}"#,
        ] {
            assert!(
                serde_json::from_str::<AuditRecord>(twice).is_err(),
                "{twice}"
            );
        }
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
            let told = cause.contains(['\u{9b}', '\u{202e}']) || cause.contains("canary");
            assert!(!told, "{cause:?}");
        }
    }

    #[test]
    fn missing_and_null_fields_read_as_empty_but_a_record_needs_a_time() {
        let record: AuditRecord =
            serde_json::from_str(r#"{"creationDate":5,"author":null,"remoteAddress":null}"#)
                .unwrap();
        assert!(record.author.is_system());
        assert_eq!(record.remote_address, "");
        assert!(serde_json::from_str::<AuditRecord>(r#"{"summary":"s"}"#).is_err());
        assert!(serde_json::from_str::<AuditRecord>(r#"{"creationDate":"soon"}"#).is_err());
    }
}
