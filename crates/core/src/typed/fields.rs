//! The fields of an object, taken by name: what is not taken is kept.

use std::fmt;

use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// An object whose every key stands once: of a second value none could be kept.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Takes a field that reads as empty when it is `null` or not there.
    pub(crate) fn take<T: DeserializeOwned + Default, E: Error>(
        &mut self,
        name: &str,
    ) -> Result<T, E> {
        match self.take_value(name) {
            None | Some(Value::Null) => Ok(T::default()),
            Some(value) => read(name, value),
        }
    }

    /// Takes a field that need not be there. A `null` is left with the rest, for `None` could not
    /// tell that it was.
    pub(crate) fn take_optional<T: DeserializeOwned, E: Error>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, E> {
        if self.0.get(name).is_none_or(Value::is_null) {
            return Ok(None);
        }
        let value = self.take_value(name);
        value.map(|value| read(name, value)).transpose()
    }

    pub(crate) fn take_value(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name)
    }

    /// Every field that was not taken, in its order.
    pub(crate) fn rest(self) -> Map<String, Value> {
        self.0
    }
}

fn read<T: DeserializeOwned, E: Error>(name: &str, value: Value) -> Result<T, E> {
    serde_json::from_value(value).map_err(|error| E::custom(format_args!("{name}: {error}")))
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members).map(Self)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a field stands twice"));
            }
        }
        Ok(members)
    }
}
