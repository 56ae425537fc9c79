//! A typed record with the classification of its summary, as the formats with a mapping read it.

use std::error::Error as _;
use std::net::IpAddr;

use confluence_audit_core::{AffectedObject, AuditRecord, ChangedValue, RawRecord};

use crate::meaning::{self, Meaning};

/// A record that fits its types, and the classification of its summary.
pub(crate) struct Event<'a> {
    pub(crate) record: AuditRecord<'a>,
    pub(crate) meaning: Meaning,
}

impl<'a> Event<'a> {
    /// The record as an event, or the reason of a mapping error.
    pub(crate) fn read(raw: &'a RawRecord) -> Result<Self, String> {
        let record = raw.record().map_err(|error| match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        })?;
        let meaning = meaning::of(&record.summary, &record.category);
        Ok(Self { record, meaning })
    }

    /// What it was done from: an address, mostly; nothing on many of the system's records.
    pub(crate) fn address(&self) -> &str {
        self.record.remote_address.trim()
    }

    /// The same where it is an IP address.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.address().parse().ok()
    }

    /// All objects it concerns, the one that it was done to last, each once.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &AffectedObject<'a>> {
        let AuditRecord {
            affected_object,
            associated_objects,
            ..
        } = &self.record;
        let affected = (!associated_objects.contains(affected_object)).then_some(affected_object);
        associated_objects.iter().chain(affected)
    }

    /// The last of them that is of this type and has a name.
    pub(crate) fn object(&self, kind: &str) -> Option<&AffectedObject<'a>> {
        let of_kind = |object: &&AffectedObject<'a>| object.object_type == kind;
        self.objects()
            .filter(of_kind)
            .filter(|object| !object.name.is_empty())
            .last()
    }

    /// The change of the value that is shown under this name.
    pub(crate) fn change(&self, name: &str) -> Option<&ChangedValue<'a>> {
        let mut changes = self.record.changed_values.iter();
        changes.find(|change| change.name == name)
    }

    /// The event in a few words.
    pub(crate) fn headline(&self) -> String {
        let AuditRecord {
            summary,
            affected_object,
            ..
        } = &self.record;
        if affected_object.name.is_empty() {
            summary.to_string()
        } else {
            [summary, ": ", &affected_object.name].concat()
        }
    }
}

/// A group's name and id: Confluence writes them as `name:uuid`.
pub(crate) fn group(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((name, id)) if !name.is_empty() && is_uuid(id) => (name, Some(id)),
        _ => (name, None),
    }
}

fn is_uuid(text: &str) -> bool {
    let mut lengths = text.split('-').map(|part| {
        let hexadecimal = part.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hexadecimal { part.len() } else { 0 }
    });
    [8, 4, 4, 4, 12]
        .into_iter()
        .all(|length| lengths.next() == Some(length))
        && lengths.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_id_is_distinguished_from_a_name_with_colons() {
        let id = "4c1d2b3a-9e8f-4a7b-8c6d-5e4f3a2b1c0d";
        let cases = [
            (
                "harbour-crew:4c1d2b3a-9e8f-4a7b-8c6d-5e4f3a2b1c0d",
                "harbour-crew",
                Some(id),
            ),
            ("a:b:4c1d2b3a-9e8f-4a7b-8c6d-5e4f3a2b1c0d", "a:b", Some(id)),
            (
                ":4c1d2b3a-9e8f-4a7b-8c6d-5e4f3a2b1c0d",
                ":4c1d2b3a-9e8f-4a7b-8c6d-5e4f3a2b1c0d",
                None,
            ),
            ("alpha-admins:1a2b3c4d", "alpha-admins:1a2b3c4d", None),
            (
                "x:4c1d2b3a-9e8f-4a7b-8c6d-5e4f3a2b1c0d-",
                "x:4c1d2b3a-9e8f-4a7b-8c6d-5e4f3a2b1c0d-",
                None,
            ),
            (
                "x:4c1d2b3é-9e8f-4a7b-8c6d-5e4f3a2b1c0d",
                "x:4c1d2b3é-9e8f-4a7b-8c6d-5e4f3a2b1c0d",
                None,
            ),
            ("", "", None),
        ];
        for (text, name, id) in cases {
            assert_eq!(group(text), (name, id));
        }
    }

    #[test]
    fn each_object_is_there_once_and_the_last_of_a_type_is_found() {
        let raw = RawRecord::parse(
            r#"{"creationDate":5,"affectedObject":{"name":"a","objectType":"User"},"associatedObjects":[{"name":"a","objectType":"User"},{"name":"b","objectType":"User"},{"name":"","objectType":"User"}]}"#,
        )
        .unwrap();
        let event = Event::read(&raw).unwrap();
        assert_eq!(event.objects().count(), 3);
        assert_eq!(event.object("User").unwrap().name, "b");
        assert!(event.object("Group").is_none());
    }

    #[test]
    fn a_record_that_does_not_fit_its_types_is_a_mapping_error_with_its_reason() {
        for (text, reason) in [
            (r#"{"creationDate":5,"summary":404}"#, "summary: "),
            (r#"{"creationDate":"soon"}"#, "creationDate is no time"),
            (
                r#"{"creationDate":5,"author":{"displayName":"a","displayName":"b"}}"#,
                "author: a field stands twice",
            ),
        ] {
            let raw = RawRecord::parse(text).unwrap();
            let error = Event::read(&raw).err().unwrap();
            assert!(error.contains(reason), "{error}");
        }
    }
}
