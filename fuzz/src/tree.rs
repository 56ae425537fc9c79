//! A value that keeps the spelling of its numbers and the order of its keys, to be written again
//! in another spelling that means the same.

use std::fmt::Write as _;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Deeper than this the programs hash a value as it is written.
const DEEPEST: usize = 60;

/// A JSON value.
#[derive(Debug)]
pub enum Tree {
    /// Keys in their order, also those that stand twice.
    Object(Vec<(String, Tree)>),
    /// Elements.
    Array(Vec<Tree>),
    /// A string.
    Text(String),
    /// A number as it is written, or one of the three words.
    Word(String),
}

impl Tree {
    /// The value that `text` is; `None` where it is too deep, or holds half of a surrogate pair.
    pub fn of(text: &str) -> Option<Self> {
        Self::within(text, 0)
    }

    fn within(text: &str, depth: usize) -> Option<Self> {
        if depth > DEEPEST {
            return None;
        }
        Some(match text.as_bytes().first()? {
            b'{' => {
                let Pairs(pairs) = serde_json::from_str(text).ok()?;
                let pairs = pairs.into_iter();
                let tree = |(key, value): (String, &RawValue)| {
                    Some((key, Self::within(value.get(), depth + 1)?))
                };
                Self::Object(pairs.map(tree).collect::<Option<_>>()?)
            }
            b'[' => {
                let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                let elements = elements.into_iter();
                let tree = |element: &RawValue| Self::within(element.get(), depth + 1);
                Self::Array(elements.map(tree).collect::<Option<_>>()?)
            }
            b'"' => Self::Text(serde_json::from_str(text).ok()?),
            _ => Self::Word(text.to_owned()),
        })
    }

    /// The value with its keys in order, or the other way round, white space everywhere, and all
    /// strings escaped. Keys that are equal keep their order.
    pub fn respelled(&self, reversed: bool) -> String {
        let mut out = String::new();
        self.write(&mut out, reversed);
        out
    }

    fn write(&self, out: &mut String, reversed: bool) {
        match self {
            Self::Object(pairs) => {
                let mut pairs: Vec<_> = pairs.iter().collect();
                pairs.sort_by(|(a, _), (b, _)| if reversed { b.cmp(a) } else { a.cmp(b) });
                out.push_str("{\n");
                for (index, (key, value)) in pairs.into_iter().enumerate() {
                    out.push_str(if index > 0 { "\t, " } else { "" });
                    escape(out, key);
                    out.push_str(" :\r");
                    match value {
                        // Known: a time that is a string with an escape in it is not seen to be
                        // a time. No service is known to write one.
                        Self::Text(text) if key == "creationDate" => {
                            out.push_str(&Value::from(text.as_str()).to_string());
                        }
                        value => value.write(out, reversed),
                    }
                }
                out.push('}');
            }
            Self::Array(elements) => {
                out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    out.push_str(if index > 0 { " ,\n" } else { " " });
                    element.write(out, reversed);
                }
                out.push_str(" ]");
            }
            Self::Text(text) => escape(out, text),
            Self::Word(word) => out.push_str(word),
        }
    }
}

/// Every unit of the text by its number.
fn escape(out: &mut String, text: &str) {
    out.push('"');
    for unit in text.encode_utf16() {
        // Writing to a string does not fail.
        let _ = write!(out, "\\u{unit:04X}");
    }
    out.push('"');
}

/// An object's pairs, as they stand there.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
