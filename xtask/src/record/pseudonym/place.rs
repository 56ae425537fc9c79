//! Where in a document the walk is, and what that says of the strings there.

use super::{Treat, URL_KEYS, VOCABULARY_KEYS, is_date_key};

/// Where in the document the walk is: the keys that lead there.
#[derive(Default)]
pub(super) struct Place {
    open: Vec<Open>,
}

enum Open {
    Array,
    Object { key: String, at_key: bool },
}

impl Place {
    pub(super) fn step(&mut self, byte: u8) {
        match byte {
            b'{' => self.open.push(Open::Object {
                key: String::new(),
                at_key: true,
            }),
            b'[' => self.open.push(Open::Array),
            b'}' | b']' => drop(self.open.pop()),
            b':' | b',' => {
                if let Some(Open::Object { at_key, .. }) = self.open.last_mut() {
                    *at_key = byte == b',';
                }
            }
            _ => {}
        }
    }

    pub(super) fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Open::Object { at_key: true, .. }))
    }

    pub(super) fn set_key(&mut self, name: &str) {
        if let Some(Open::Object { key, .. }) = self.open.last_mut() {
            name.clone_into(key);
        }
    }

    /// The nearest keys, innermost first: an array's elements stand under the array's key.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.open.iter().rev().filter_map(|open| match open {
            Open::Array => None,
            Open::Object { key, .. } => Some(key.as_str()),
        })
    }

    pub(super) fn key(&self) -> &str {
        self.keys().next().unwrap_or_default()
    }

    pub(super) fn is_date(&self) -> bool {
        is_date_key(self.key())
    }

    pub(super) fn treat(&self) -> Treat {
        let mut keys = self.keys();
        let key = keys.next().unwrap_or_default();
        let parent = keys.next().unwrap_or_default();
        if URL_KEYS.contains(&key) || parent == "_links" {
            Treat::Url
        } else if VOCABULARY_KEYS.contains(&key) || (key == "name" && parent == "changedValues") {
            Treat::Vocabulary
        } else {
            Treat::Free
        }
    }
}
