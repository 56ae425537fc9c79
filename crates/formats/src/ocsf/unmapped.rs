//! The member `unmapped`: what of a record has no field in the schema, in Confluence's words.
//!
//! It is written from the record's text member by member, without building it.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;

use crate::json::{Json, Text};

/// Which of the members that may have a field of their own have one here.
#[derive(Clone, Copy)]
pub(super) struct Mapped {
    pub(super) affected_object: bool,
    pub(super) associated_objects: bool,
}

/// Writes the member `unmapped` from the record's text.
pub(super) fn write(json: &mut Json, text: &str, mapped: Mapped) {
    let begin = json.begin("unmapped");
    let place = Place::Record(mapped);
    let rest = Rest { json, begin, place };
    let whole = rest.deserialize(&mut serde_json::Deserializer::from_str(text));
    // It was read before; what could not be would stand in no line by halves.
    if whole.is_err() {
        json.take_back(begin);
    }
}

#[derive(Clone, Copy)]
enum Place {
    Record(Mapped),
    Author,
    /// One of the lists of objects.
    List,
    /// An object of the record.
    Object,
    /// Where anything may stand.
    Any,
}

impl Place {
    /// Where the member of this name stands; nowhere when it has a field of its own.
    fn of(self, key: &str) -> Option<Self> {
        match (self, key) {
            (Self::Record(_), "creationDate" | "summary" | "remoteAddress")
            | (Self::Author, "accountId" | "displayName") => None,
            (Self::Record(mapped), "affectedObject") if mapped.affected_object => None,
            (Self::Record(mapped), "associatedObjects") if mapped.associated_objects => None,
            (Self::Record(_), "author") => Some(Self::Author),
            (Self::Record(_), "affectedObject") => Some(Self::Object),
            (Self::Record(_), "changedValues" | "associatedObjects") => Some(Self::List),
            _ => Some(Self::Any),
        }
    }
}

/// A value whose key or comma stands from `begin` on already.
struct Rest<'j> {
    json: &'j mut Json,
    begin: usize,
    place: Place,
}

impl<'de> DeserializeSeed<'de> for Rest<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Rest<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.json.take_back(self.begin);
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.json.string(self.begin, text);
        Ok(())
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        self.json.rest(self.begin, &flag.into());
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.json.rest(self.begin, &number.into());
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.json.rest(self.begin, &number.into());
        Ok(())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.json.rest(self.begin, &number.into());
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { json, begin, place } = self;
        if matches!(place, Place::Any) {
            let value = Value::deserialize(MapAccessDeserializer::new(map))?;
            json.rest(begin, &value);
            return Ok(());
        }
        let inside = json.open('{');
        while let Some(Text(key)) = map.next_key()? {
            if let Some(place) = place.of(&key) {
                let begin = json.begin_any(&key);
                map.next_value_seed(Rest { json, begin, place })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        json.close(begin, inside, '}');
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { json, begin, place } = self;
        if !matches!(place, Place::List) {
            let value = Value::deserialize(SeqAccessDeserializer::new(list))?;
            json.rest(begin, &value);
            return Ok(());
        }
        let inside = json.open('[');
        loop {
            let (begin, place) = (json.begin_element(), Place::Object);
            if list
                .next_element_seed(Rest { json, begin, place })?
                .is_none()
            {
                json.take_back(begin);
                break;
            }
        }
        json.close(begin, inside, ']');
        Ok(())
    }
}
