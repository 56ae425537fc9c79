//! One record of the audit log with its types.

mod fields;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use self::fields::Fields;
use crate::{Timestamp, creation_date};

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
            creation_date: creation_date::read(time.to_string().as_bytes())
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
    use crate::RawRecord;

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
