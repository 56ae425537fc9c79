//! What a table's declarations come to: a JSON Schema (2020-12).

use serde_json::{Map, Value as Json, json};

/// The keys of a table so far.
#[derive(Default)]
pub(super) struct Schema {
    properties: Map<String, Json>,
    required: Vec<String>,
    /// One for each kind that the table can be of, with its own keys.
    variants: Vec<Schema>,
}

impl Schema {
    pub(super) fn add(&mut self, key: &str, about: &str, mut schema: Json) {
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("description".to_owned(), about.into());
        }
        self.properties.insert(key.to_owned(), schema);
    }

    /// The key that was added last cannot be left out.
    pub(super) fn require(&mut self) {
        self.required
            .extend(self.properties.keys().next_back().cloned());
    }

    pub(super) fn add_variant(&mut self, variant: Self) {
        self.variants.push(variant);
    }

    /// The keys in the order of their declarations.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.properties.keys().map(String::as_str)
    }

    fn json(self) -> Json {
        let mut schema = json!({"type": "object", "properties": self.properties});
        if !self.required.is_empty() {
            schema["required"] = self.required.into();
        }
        if !self.variants.is_empty() {
            schema["oneOf"] = self.variants.into_iter().map(Self::json).collect();
        }
        schema
    }
}

impl From<Schema> for Json {
    /// No other key is allowed, whichever variant it is.
    fn from(schema: Schema) -> Self {
        let mut schema = schema.json();
        schema["unevaluatedProperties"] = false.into();
        schema
    }
}
