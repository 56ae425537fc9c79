//! A typed record of the audit log, which borrows from the text that it is read from.

mod fields;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

use self::fields::{IntoStatic as _, Text, Time, fields};
use crate::time::Timestamp;

/// One event of the audit log, after the `AuditRecord` of Atlassian's `OpenAPI` document, vintages
/// 2023 and 2025, and after what real records were seen to hold.
///
/// Fields that are documented as required but missing, or `null`, read as empty. Fields that are
/// not known are kept in `extra` and written back, and so is an optional field that is `null`.
///
/// ```
/// use confluence_audit_core::AuditRecord;
///
/// let record: AuditRecord<'_> = serde_json::from_str(
///     r#"{"author":{"type":"user","displayName":"System"},"creationDate":"1643097111962",
///         "summary":"User created","category":"Users and groups","sysAdmin":false}"#,
/// )?;
/// assert!(record.author.is_system());
/// assert_eq!(record.creation_date.to_string(), "2022-01-25T07:51:51.962Z");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AuditRecord<'a> {
    /// Who did it.
    pub author: Author<'a>,
    /// The address it was done from; empty on some records, of people too.
    pub remote_address: Cow<'a, str>,
    /// When.
    pub creation_date: Timestamp,
    /// What: prose that may be localised, never an enumeration.
    pub summary: Cow<'a, str>,
    /// More of it, mostly empty.
    pub description: Cow<'a, str>,
    /// The area it belongs to: prose, as the summary.
    pub category: Cow<'a, str>,
    /// Whether a system administrator did it.
    pub sys_admin: bool,
    /// Whether it was done with the powers of a super administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub super_admin: Option<bool>,
    /// What it was done to.
    pub affected_object: AffectedObject<'a>,
    /// What changed.
    pub changed_values: Vec<ChangedValue<'a>>,
    /// What else it concerns.
    pub associated_objects: Vec<AffectedObject<'a>>,
    /// Every other field, in its order.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl AuditRecord<'_> {
    /// The same record with texts of its own, to be kept longer than the text that it was read from.
    ///
    /// ```
    /// use confluence_audit_core::{AuditRecord, Error, RawRecord};
    ///
    /// fn read(text: String) -> Result<AuditRecord<'static>, Error> {
    ///     let raw = RawRecord::parse(text)?;
    ///     Ok(raw.record()?.into_owned())
    /// }
    /// assert_eq!(read(r#"{"creationDate":5,"summary":"Page moved"}"#.into())?.summary, "Page moved");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn into_owned(self) -> AuditRecord<'static> {
        self.into_static()
    }
}

/// Who caused an event.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Author<'a> {
    /// `user`, also for the system.
    #[serde(rename = "type")]
    pub kind: Cow<'a, str>,
    /// The name as it is when the log is read; `System` for the system.
    pub display_name: Cow<'a, str>,
    /// `null`, an object or an array, by vintage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<Value>,
    /// The same as the account id, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<Cow<'a, str>>,
    /// Deprecated by Atlassian.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_key: Option<Cow<'a, str>>,
    /// 24 or 32 hexadecimal digits, or `digits:uuid`; none for the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<Cow<'a, str>>,
    /// Mostly empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_type: Option<Cow<'a, str>>,
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
    pub public_name: Option<Cow<'a, str>>,
    /// Every other field, in its order.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Author<'_> {
    /// Whether no account stands behind the event: none of the three ids is given.
    pub fn is_system(&self) -> bool {
        self.account_id.is_none() && self.user_key.is_none() && self.username.is_none()
    }
}

/// A thing that an event concerns; both parts may be empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AffectedObject<'a> {
    /// Its name; a group's is `name:uuid`.
    pub name: Cow<'a, str>,
    /// `Space`, `Page`, `User`, `Group` and more; an open set.
    pub object_type: Cow<'a, str>,
    /// Every other field, in its order.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One value before and after.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ChangedValue<'a> {
    /// What changed.
    pub name: Cow<'a, str>,
    /// Before.
    pub old_value: Cow<'a, str>,
    /// After.
    pub new_value: Cow<'a, str>,
    /// Before, where the interface does not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_old_value: Option<Cow<'a, str>>,
    /// After, where the interface does not show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_new_value: Option<Cow<'a, str>>,
    /// Every other field, in its order.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fields!(AuditRecord {
    needed {
        "creationDate" => creation_date: Time,
    }
    required {
        "author" => author: Author<'_>,
        "remoteAddress" => remote_address: Text<'_>,
        "summary" => summary: Text<'_>,
        "description" => description: Text<'_>,
        "category" => category: Text<'_>,
        "sysAdmin" => sys_admin: bool,
        "affectedObject" => affected_object: AffectedObject<'_>,
        "changedValues" => changed_values: Vec<ChangedValue<'_>>,
        "associatedObjects" => associated_objects: Vec<AffectedObject<'_>>,
    }
    optional {
        "superAdmin" => super_admin: bool,
    }
});

fields!(Author {
    required {
        "type" => kind: Text<'_>,
        "displayName" => display_name: Text<'_>,
    }
    optional {
        "username" => username: Text<'_>,
        "userKey" => user_key: Text<'_>,
        "accountId" => account_id: Text<'_>,
        "accountType" => account_type: Text<'_>,
        "externalCollaborator" => external_collaborator: bool,
        "isExternalCollaborator" => is_external_collaborator: bool,
        "isGuest" => is_guest: bool,
        "publicName" => public_name: Text<'_>,
    }
    any {
        "operations" => operations,
    }
});

fields!(AffectedObject {
    required {
        "name" => name: Text<'_>,
        "objectType" => object_type: Text<'_>,
    }
});

fields!(ChangedValue {
    required {
        "name" => name: Text<'_>,
        "oldValue" => old_value: Text<'_>,
        "newValue" => new_value: Text<'_>,
    }
    optional {
        "hiddenOldValue" => hidden_old_value: Text<'_>,
        "hiddenNewValue" => hidden_new_value: Text<'_>,
    }
});

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;

    use super::*;

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
            let record: AuditRecord<'_> = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&record).unwrap(), text);
        }
    }

    #[test]
    fn a_null_in_an_optional_field_is_written_back() {
        let text = r#"{"author":{"type":"","displayName":"","username":null,"x":1,"isGuest":null},"remoteAddress":"","creationDate":1,"summary":"","description":"","category":"","sysAdmin":false,"affectedObject":{"name":"","objectType":""},"changedValues":[{"name":"","oldValue":"","newValue":"","hiddenOldValue":null}],"associatedObjects":[],"superAdmin":null}"#;
        let record: AuditRecord<'_> = serde_json::from_str(text).unwrap();
        assert_eq!((record.super_admin, &record.author.username), (None, &None));
        assert_eq!(serde_json::to_string(&record).unwrap(), text);
    }

    #[test]
    fn a_record_fits_when_each_of_its_objects_does_and_no_key_of_theirs_stands_twice() {
        let fits = |members: &str| {
            let text = format!("{{\"creationDate\":5,{members}}}");
            serde_json::from_str::<AuditRecord<'_>>(&text).is_ok()
        };
        for members in [
            r#""author":null"#,
            r#""author":{"operations":{"a":1,"a":2}}"#,
            r#""changedValues":[{"name":null,"hiddenOldValue":null,"x":1}]"#,
            r#""superAdmin":null,"later":{"superAdmin":1}"#,
        ] {
            assert!(fits(members), "{members}");
        }
        for members in [
            r#""author":[]"#,
            r#""author":{"username":7}"#,
            r#""author":{"isGuest":null,"later":"\ud800"}"#,
            r#""author":{"displayName":"a","displayName":"a"}"#,
            r#""author":{"operations":null,"operations":null}"#,
            r#""superAdmin":null,"superAdmin":true"#,
            r#""creationDate":5"#,
            r#""later":1e400"#,
            r#""later":1,"later":1"#,
            r#""sysAdmin":0"#,
            r#""changedValues":[null]"#,
            r#""changedValues":[{"name":"a","x":1,"x":2}]"#,
            r#""changedValues":[{"hiddenOldValue":null,"hiddenOldValue":null}]"#,
            r#""associatedObjects":{}"#,
            r#""associatedObjects":[{"name":"a","name":7}]"#,
        ] {
            assert!(!fits(members), "{members}");
        }
    }

    #[test]
    fn a_time_is_one_in_every_form_that_is_known_and_in_no_other() {
        let time = |date: &str| {
            let text = format!("{{\"creationDate\":{date}}}");
            let record: Option<AuditRecord<'_>> = serde_json::from_str(&text).ok();
            record.map(|record| record.creation_date.as_millis())
        };
        for date in [
            "5",
            "5.0",
            "\"5\"",
            "\"\\u0035\"",
            "\"1970-01-01T00:00:00.005Z\"",
        ] {
            assert_eq!(time(date), Some(5), "{date}");
        }
        for date in ["5.5", "null", "1e300", "\"soon\"", "99999999999999999999"] {
            assert_eq!(time(date), None, "{date}");
        }
    }

    #[test]
    fn a_record_borrows_what_has_no_escape_and_means_the_same_when_it_owns() {
        let text = r#"{"creationDate":5,"summary":"plain","description":"\u00e9","author":{"accountId":"a"},"affectedObject":{"name":"n"},"changedValues":[{"newValue":"v"}],"later":1}"#;
        let record: AuditRecord<'_> = serde_json::from_str(text).unwrap();
        assert!(matches!(record.summary, Cow::Borrowed("plain")));
        assert!(matches!(&record.description, Cow::Owned(text) if text == "é"));
        assert!(matches!(record.author.account_id, Some(Cow::Borrowed(_))));
        assert!(matches!(
            record.changed_values[0].new_value,
            Cow::Borrowed(_)
        ));
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(AuditRecord::deserialize(&value).unwrap(), record);
        let owned: AuditRecord<'static> = record.clone().into_owned();
        assert_eq!(owned, record);
        assert_eq!(owned.extra, record.extra);
    }

    #[test]
    fn missing_and_null_fields_read_as_empty_but_a_record_needs_a_time() {
        let record: AuditRecord<'_> =
            serde_json::from_str(r#"{"creationDate":5,"author":null,"remoteAddress":null}"#)
                .unwrap();
        assert!(record.author.is_system());
        assert_eq!(record.remote_address, "");
        assert!(serde_json::from_str::<AuditRecord<'_>>(r#"{"summary":"s"}"#).is_err());
        assert!(serde_json::from_str::<AuditRecord<'_>>(r#"{"creationDate":"soon"}"#).is_err());
    }
}
