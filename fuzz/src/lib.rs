//! What both targets compare with: `serde_json`, by ways that the programs do not go.

mod tree;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

pub use tree::Tree;

/// Whether this is one JSON value, whatever its depth and its numbers.
pub fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

/// The value, where `serde_json` can hold it: not too deep, no number out of range, no half of a
/// surrogate pair.
pub fn value(text: &[u8]) -> Option<Value> {
    serde_json::from_slice(text).ok()
}

/// The keys of the object that `text` is, each as often as it stands there.
pub fn keys(text: &[u8]) -> Option<Vec<String>> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<String>, A::Error> {
            let mut keys = Vec::new();
            while let Some((key, IgnoredAny)) = map.next_entry()? {
                keys.push(key);
            }
            Ok(keys)
        }
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    serde::Deserializer::deserialize_map(&mut json, Keys).ok()
}

/// Whether one of these keys stands twice in the object.
pub fn repeats(text: &[u8], names: &[&str]) -> bool {
    let keys = keys(text).unwrap_or_default();
    names
        .iter()
        .any(|name| keys.iter().filter(|key| key == name).count() > 1)
}
