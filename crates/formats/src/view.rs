//! A record with its types as [`AuditRecord`](confluence_audit_core::AuditRecord) has them, texts
//! borrowed from the record's own: read in one pass for the formats that map it.
//!
//! What fits here fits there, and holds the same.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use confluence_audit_core::{RawRecord, Timestamp};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

/// A record, without what no format has a field for.
#[derive(Default)]
pub(crate) struct Record<'a> {
    pub(crate) author: Author<'a>,
    pub(crate) remote_address: Text<'a>,
    pub(crate) creation_date: Option<Time>,
    pub(crate) summary: Text<'a>,
    pub(crate) description: Text<'a>,
    pub(crate) category: Text<'a>,
    pub(crate) sys_admin: bool,
    pub(crate) super_admin: Option<bool>,
    pub(crate) affected_object: Object<'a>,
    pub(crate) changed_values: Vec<Change<'a>>,
    pub(crate) associated_objects: Vec<Object<'a>>,
    extra: Extra,
}

/// When it happened, and how the record says that.
pub(crate) struct Time {
    pub(crate) time: Timestamp,
    pub(crate) written: Value,
}

/// Who did it.
#[derive(Default)]
pub(crate) struct Author<'a> {
    pub(crate) display_name: Text<'a>,
    pub(crate) account_id: Option<Text<'a>>,
    pub(crate) external_collaborator: Option<bool>,
    username: Option<Text<'a>>,
    user_key: Option<Text<'a>>,
    extra: Extra,
}

impl Author<'_> {
    /// Whether no account stands behind the event.
    pub(crate) fn is_system(&self) -> bool {
        self.account_id.is_none() && self.user_key.is_none() && self.username.is_none()
    }
}

/// A thing that it concerns.
#[derive(Default, PartialEq)]
pub(crate) struct Object<'a> {
    pub(crate) name: Text<'a>,
    pub(crate) kind: Text<'a>,
    pub(crate) extra: Extra,
}

/// A value before and after.
#[derive(Default)]
pub(crate) struct Change<'a> {
    pub(crate) name: Text<'a>,
    pub(crate) old_value: Text<'a>,
    pub(crate) new_value: Text<'a>,
    pub(crate) hidden_old_value: Option<Text<'a>>,
    pub(crate) hidden_new_value: Option<Text<'a>>,
    pub(crate) extra: Extra,
}

/// The members that are not known, in their order.
type Extra = Map<String, Value>;

impl<'a> Record<'a> {
    /// The record with its types, or nothing where it does not fit them or a key stands twice in
    /// one of its objects.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok().and_then(Whole::timed)
    }

    /// The same from a value, in which no key can stand twice.
    pub(crate) fn copied(value: &Value) -> Option<Self> {
        Whole::deserialize(value.clone())
            .ok()
            .and_then(Whole::timed)
    }

    pub(crate) fn time(&self) -> Timestamp {
        let date = self.creation_date.as_ref();
        date.map_or(Timestamp::from_millis(0), |date| date.time)
    }
}

/// A text, borrowed where no escape is in it.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Text<'a>(Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(text.into()))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(text.to_owned().into()))
            }
        }
        deserializer.deserialize_str(Read)
    }
}

impl<'a> Text<'a> {
    pub(crate) fn into_cow(self) -> Cow<'a, str> {
        self.0
    }
}

/// What an object is read into, member by member.
trait Members<'de>: Default {
    /// Reads the value of a member that is known, and gives it a number below 32.
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<Option<u8>, A::Error>;

    fn extra(&mut self) -> &mut Extra;
}

/// An object of this type whose every key stands once.
struct Whole<T>(T);

impl<'a> Whole<Record<'a>> {
    /// The record, which needs a time.
    fn timed(self) -> Option<Record<'a>> {
        self.0.creation_date.is_some().then_some(self.0)
    }
}

impl<'de, T: Members<'de>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<T>(PhantomData<T>);
        impl<'de, T: Members<'de>> Visitor<'de> for Read<T> {
            type Value = Whole<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Whole<T>, A::Error> {
                let mut read = T::default();
                let mut seen = 0_u32;
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    let again = if let Some(number) = read.take(&key, &mut map)? {
                        let bit = 1 << number;
                        let again = seen & bit != 0;
                        seen |= bit;
                        again
                    } else {
                        let value = map.next_value()?;
                        read.extra()
                            .insert(key.into_cow().into_owned(), value)
                            .is_some()
                    };
                    if again {
                        return Err(A::Error::custom("a field stands twice"));
                    }
                }
                Ok(Whole(read))
            }
        }
        deserializer.deserialize_map(Read(PhantomData))
    }
}

/// A value that reads as empty when it is `null`.
fn value<'de, T: Deserialize<'de> + Default, A: MapAccess<'de>>(
    map: &mut A,
) -> Result<T, A::Error> {
    Ok(map.next_value::<Option<T>>()?.unwrap_or_default())
}

fn object<'de, T: Members<'de>, A: MapAccess<'de>>(map: &mut A) -> Result<T, A::Error> {
    let object = map.next_value::<Option<Whole<T>>>()?;
    Ok(object.map(|Whole(object)| object).unwrap_or_default())
}

fn objects<'de, T: Members<'de>, A: MapAccess<'de>>(map: &mut A) -> Result<Vec<T>, A::Error> {
    let list: Vec<Whole<T>> = value(map)?;
    Ok(list.into_iter().map(|Whole(object)| object).collect())
}

impl<'de> Members<'de> for Record<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<Option<u8>, A::Error> {
        Ok(Some(match key {
            "author" => {
                self.author = object(map)?;
                0
            }
            "remoteAddress" => {
                self.remote_address = value(map)?;
                1
            }
            "creationDate" => {
                let written: Value = map.next_value()?;
                self.creation_date = time_of(&written).map(|time| Time { time, written });
                2
            }
            "summary" => {
                self.summary = value(map)?;
                3
            }
            "description" => {
                self.description = value(map)?;
                4
            }
            "category" => {
                self.category = value(map)?;
                5
            }
            "sysAdmin" => {
                self.sys_admin = value(map)?;
                6
            }
            "superAdmin" => {
                self.super_admin = map.next_value()?;
                7
            }
            "affectedObject" => {
                self.affected_object = object(map)?;
                8
            }
            "changedValues" => {
                self.changed_values = objects(map)?;
                9
            }
            "associatedObjects" => {
                self.associated_objects = objects(map)?;
                10
            }
            _ => return Ok(None),
        }))
    }

    fn extra(&mut self) -> &mut Extra {
        &mut self.extra
    }
}

impl<'de> Members<'de> for Author<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<Option<u8>, A::Error> {
        Ok(Some(match key {
            "displayName" => {
                self.display_name = value(map)?;
                0
            }
            "accountId" => {
                self.account_id = map.next_value()?;
                1
            }
            "externalCollaborator" => {
                self.external_collaborator = map.next_value()?;
                2
            }
            "username" => {
                self.username = map.next_value()?;
                3
            }
            "userKey" => {
                self.user_key = map.next_value()?;
                4
            }
            // No format has a field for these, and still they have a type.
            "type" => {
                map.next_value::<Option<Text<'de>>>()?;
                5
            }
            "accountType" => {
                map.next_value::<Option<Text<'de>>>()?;
                6
            }
            "publicName" => {
                map.next_value::<Option<Text<'de>>>()?;
                7
            }
            "isExternalCollaborator" => {
                map.next_value::<Option<bool>>()?;
                8
            }
            "isGuest" => {
                map.next_value::<Option<bool>>()?;
                9
            }
            _ => return Ok(None),
        }))
    }

    fn extra(&mut self) -> &mut Extra {
        &mut self.extra
    }
}

impl<'de> Members<'de> for Object<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<Option<u8>, A::Error> {
        Ok(Some(match key {
            "name" => {
                self.name = value(map)?;
                0
            }
            "objectType" => {
                self.kind = value(map)?;
                1
            }
            _ => return Ok(None),
        }))
    }

    fn extra(&mut self) -> &mut Extra {
        &mut self.extra
    }
}

impl<'de> Members<'de> for Change<'de> {
    fn take<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<Option<u8>, A::Error> {
        Ok(Some(match key {
            "name" => {
                self.name = value(map)?;
                0
            }
            "oldValue" => {
                self.old_value = value(map)?;
                1
            }
            "newValue" => {
                self.new_value = value(map)?;
                2
            }
            "hiddenOldValue" => {
                self.hidden_old_value = map.next_value()?;
                3
            }
            "hiddenNewValue" => {
                self.hidden_new_value = map.next_value()?;
                4
            }
            _ => return Ok(None),
        }))
    }

    fn extra(&mut self) -> &mut Extra {
        &mut self.extra
    }
}

fn time_of(written: &Value) -> Option<Timestamp> {
    match written.as_i64() {
        Some(millis) => Some(Timestamp::from_millis(millis)),
        // The other forms are rare, and a record knows them.
        None => RawRecord::from_line(format!("{{\"creationDate\":{written}}}").into()).time(),
    }
}
