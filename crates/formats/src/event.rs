//! A record as the formats with a mapping look at it.

use std::error::Error as _;
use std::net::IpAddr;

use confluence_audit_core::{Error, RawRecord};
use serde_json::Value;

use crate::meaning::{self, Meaning};
use crate::view::{Change, Object, Record};

/// A record that fits its types, and what its summary means.
pub(crate) struct Event<'a> {
    pub(crate) record: Record<'a>,
    pub(crate) meaning: Meaning,
    /// The record as a value, where a key stands twice in one of its objects: the last one counts.
    pub(crate) doubled: Option<Value>,
}

impl<'a> Event<'a> {
    /// The record as an event, or in words why it is none; `text` is the record's own.
    pub(crate) fn read(raw: &RawRecord, text: &'a str) -> Result<Self, String> {
        let (record, doubled) = match Record::read(text) {
            Some(record) => (record, None),
            None => slowly(raw)?,
        };
        let meaning = meaning::of(&record.summary, &record.category);
        Ok(Self {
            record,
            meaning,
            doubled,
        })
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
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Object<'a>> {
        let Record {
            affected_object,
            associated_objects,
            ..
        } = &self.record;
        let affected = (!associated_objects.contains(affected_object)).then_some(affected_object);
        associated_objects.iter().chain(affected)
    }

    /// The last of them that is of this type and has a name.
    pub(crate) fn object(&self, kind: &str) -> Option<&Object<'a>> {
        let of_kind = |object: &&Object<'a>| *object.kind == *kind;
        self.objects()
            .filter(of_kind)
            .filter(|object| !object.name.is_empty())
            .last()
    }

    /// The change of the value that is shown under this name.
    pub(crate) fn change(&self, name: &str) -> Option<&Change<'a>> {
        let mut changes = self.record.changed_values.iter();
        changes.find(|change| *change.name == *name)
    }

    /// The event in a few words.
    pub(crate) fn headline(&self) -> String {
        let Record {
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

/// A record that was not read at once: only what it does not fit says in words why.
fn slowly<'a>(raw: &RawRecord) -> Result<(Record<'a>, Option<Value>), String> {
    let in_words = |error: Error| match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    raw.record().map_err(in_words)?;
    let value = raw.decode().map_err(in_words)?;
    let record = Record::copied(&value).ok_or("it does not fit its types")?;
    Ok((record, Some(value)))
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
    fn a_groups_id_is_told_from_a_name_with_colons() {
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
        let event = Event::read(&raw, raw.as_str()).unwrap();
        assert_eq!(event.objects().count(), 3);
        assert_eq!(&*event.object("User").unwrap().name, "b");
        assert!(event.object("Group").is_none());
    }

    #[test]
    fn what_fits_the_types_of_a_record_is_an_event_and_nothing_else_is() {
        let of = |member: &str| format!("{{\"creationDate\":5,{member}}}");
        let doubled =
            r#""author":{"accountId":7,"displayName":"a","displayName":"b","accountId":"c"}"#;
        let members = [
            r#""author":null"#,
            r#""author":[]"#,
            r#""author":{"username":7}"#,
            r#""author":{"operations":{"a":1,"a":2}}"#,
            r#""author":{"isGuest":null,"later":"\ud800"}"#,
            r#""superAdmin":null,"superAdmin":true"#,
            r#""creationDate":5"#,
            r#""later":1e400"#,
            r#""later":1,"later":1"#,
            r#""sysAdmin":0"#,
            r#""changedValues":[null]"#,
            r#""changedValues":[{"name":null,"hiddenOldValue":null,"x":1,"x":2}]"#,
            r#""associatedObjects":{}"#,
            r#""associatedObjects":[{"name":"a","name":7}]"#,
            doubled,
        ];
        let texts = members.iter().map(|member| of(member));
        let dates = [
            "5.0",
            "\"5\"",
            "\"\\u0035\"",
            "5.5",
            "null",
            "1e300",
            "\"soon\"",
        ];
        let texts = texts.chain(dates.map(|date| format!("{{\"creationDate\":{date}}}")));
        let mut fit = 0;
        for text in texts.chain(["null", "{}", "[]"].map(str::to_owned)) {
            let raw = RawRecord::parse(text).unwrap();
            let event = Event::read(&raw, raw.as_str());
            let record = raw.record();
            assert_eq!(event.is_ok(), record.is_ok(), "{raw:?}");
            if let (Ok(event), Ok(record)) = (event, record) {
                fit += 1;
                assert_eq!(event.record.time(), record.creation_date);
                assert_eq!(
                    *event.record.author.display_name,
                    record.author.display_name
                );
            }
        }
        assert_eq!(fit, 7);
        let raw = RawRecord::parse(of(doubled)).unwrap();
        let event = Event::read(&raw, raw.as_str()).unwrap();
        assert_eq!(&*event.record.author.display_name, "b");
    }
}
