//! A table of the configuration file. Each key is declared once, where it is read.
//!
//! A declaration (`table.text("timeout", "how long one request may take", Text::duration)`) reads
//! the key, notes what is wrong with it together with its line, and describes it for the [JSON
//! Schema](describe). Nothing ends at the first mistake: whoever reads a table declares all of its
//! keys before giving up for want of one, so that all mistakes of a file are reported at once, and
//! a table that is only described tells all of its keys.

mod mistake;
mod schema;
mod text;

use std::ops::RangeInclusive;

use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use self::schema::Schema;

pub(crate) use self::mistake::{File, Mistake};
pub(crate) use self::text::Text;

/// How a table becomes a value; `None` when it cannot, for reasons that were noted.
pub(crate) type Read<T> = fn(&mut Table<'_>) -> Option<T>;

/// A table that is being read.
pub(crate) struct Table<'a> {
    file: &'a File<'a>,
    /// As an error names it.
    name: String,
    /// Where it stands.
    at: usize,
    /// What stands in it; `None` where it is only described.
    entries: Option<&'a DeTable<'a>>,
    schema: Schema,
    /// Required keys that are not there, each with what to do about that.
    missing: Vec<(&'static str, String)>,
    /// Which keys there may be is unknown, since its kind is.
    is_of_unknown_kind: bool,
}

/// Keys that are as alike as this are the same one, mistyped.
const MISTYPED: f64 = 0.6;

impl<'a> Table<'a> {
    /// Reads a file as one table.
    pub(crate) fn read_file<T>(
        file: &'a File<'a>,
        root: &'a DeTable<'a>,
        read: fn(&mut Table<'_>) -> T,
    ) -> T {
        let mut table = Self::new(file, "the file", 0, Some(root));
        let value = read(&mut table);
        table.finish();
        value
    }

    fn new(
        file: &'a File<'a>,
        name: impl Into<String>,
        at: usize,
        entries: Option<&'a DeTable<'a>>,
    ) -> Self {
        Self {
            file,
            name: name.into(),
            at,
            entries,
            schema: Schema::default(),
            missing: Vec::new(),
            is_of_unknown_kind: false,
        }
    }

    /// A text, and what it means.
    pub(crate) fn text<V>(
        &mut self,
        key: &'static str,
        about: &str,
        parse: impl FnOnce(&Text<'a>) -> Result<V, Mistake>,
    ) -> Option<V> {
        let value = self.declare(key, about, json!({"type": "string"}))?;
        let text = self.text_of(key, value)?;
        self.noted(parse(&text))
    }

    /// The same, where it cannot be left out.
    pub(crate) fn required<V>(
        &mut self,
        key: &'static str,
        about: &str,
        parse: impl FnOnce(&Text<'a>) -> Result<V, Mistake>,
    ) -> Option<V> {
        let value = self.text(key, about, parse);
        self.require(key, format!("Add {key} = \"…\": {about}."));
        value
    }

    /// A whole number within bounds.
    pub(crate) fn number<N: TryFrom<i64>>(
        &mut self,
        key: &'static str,
        about: &str,
        range: RangeInclusive<i64>,
    ) -> Option<N> {
        let (least, most) = (*range.start(), *range.end());
        let mut schema = json!({"type": "integer", "minimum": least});
        if most < i64::MAX {
            schema["maximum"] = most.into();
        }
        let value = self.declare(key, about, schema)?;
        let at = value.span().start;
        let number = value.get_ref().as_integer();
        let number =
            number.and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok());
        let Some(number) = number else {
            let message = format!("`{key}` is not a whole number");
            return self.note(at, message, format!("Write it as {key} = 4."));
        };
        let fits = range.contains(&number).then(|| N::try_from(number).ok());
        fits.flatten().or_else(|| {
            let bounds = match most {
                i64::MAX => format!("{least} or more"),
                most => format!("from {least} to {most}"),
            };
            let remedy = format!("Write a number, {bounds}: {about}.");
            self.note(at, format!("`{key}` is {number}"), remedy)
        })
    }

    /// True or false; false when it is missing.
    pub(crate) fn flag(&mut self, key: &'static str, about: &str) -> bool {
        let Some(value) = self.declare(key, about, json!({"type": "boolean"})) else {
            return false;
        };
        let flag = value.get_ref().as_bool().or_else(|| {
            let message = format!("`{key}` is neither true nor false");
            let remedy = format!("Write {key} = true, without quotes, or leave it out.");
            self.note(value.span().start, message, remedy)
        });
        flag.unwrap_or_default()
    }

    /// One of a few words, each with what it stands for.
    pub(crate) fn choice<V>(
        &mut self,
        key: &'static str,
        about: &str,
        choices: impl IntoIterator<Item = (&'static str, V)>,
    ) -> Option<V> {
        let (words, mut values): (Vec<_>, Vec<_>) = choices.into_iter().unzip();
        let value = self.declare(key, about, json!({"enum": words}))?;
        let text = self.text_of(key, value)?;
        if let Some(index) = words.iter().position(|word| *word == text.value) {
            return Some(values.swap_remove(index));
        }
        let message = format!("there is no {key} `{}`", text.value.escape_debug());
        let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
        let remedy = format!("Write one of: {}.", words.join(", "));
        self.note(text.at, message, remedy)
    }

    /// A table within this one.
    pub(crate) fn table<T>(
        &mut self,
        key: &'static str,
        about: &str,
        read: impl FnOnce(&mut Table<'a>) -> Option<T>,
    ) -> Option<T> {
        let value = self.entries.and_then(|entries| entries.get(key));
        let mut child = match value {
            Some(value) => self.child(key, format!("[{key}]"), value),
            None => self.describing().then(|| Self::new(self.file, "", 0, None)),
        };
        let read = child.as_mut().and_then(read);
        let schema = child.map(Self::finish).unwrap_or_default();
        self.declare(key, about, schema);
        read
    }

    /// That `key`, which was declared last, cannot be left out.
    pub(crate) fn require(&mut self, key: &'static str, remedy: impl Into<String>) {
        self.schema.require();
        if !self.has(key) {
            self.missing.push((key, remedy.into()));
        }
    }

    /// The tables of a list.
    pub(crate) fn tables<T>(
        &mut self,
        key: &'static str,
        about: &str,
        mut read: impl FnMut(&mut Table<'a>) -> Option<T>,
    ) -> Vec<T> {
        let mut items = Json::Null;
        if self.describing() {
            let mut child = Self::new(self.file, "", 0, None);
            read(&mut child);
            items = child.finish();
        }
        let schema = json!({"type": "array", "items": items});
        let Some(value) = self.declare(key, about, schema) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            let message = format!("`{key}` is not a list");
            let remedy = format!("Write [[{key}]], with two brackets, above each one.");
            return self
                .note(value.span().start, message, remedy)
                .unwrap_or_default();
        };
        let tables = array.iter().filter_map(|value| {
            let mut child = self.child(key, format!("[[{key}]]"), value)?;
            let read = read(&mut child);
            child.finish();
            read
        });
        tables.collect()
    }

    /// A table of any keys: each holds a text, or a table of its own.
    pub(crate) fn map<T>(
        &mut self,
        key: &'static str,
        about: &str,
        of_text: impl Fn(&Text<'a>) -> Result<T, Mistake>,
        of_table: impl Fn(&str, &mut Table<'a>) -> Option<T>,
    ) -> Vec<T> {
        let mut entry = Json::Null;
        if self.describing() {
            let mut child = Self::new(self.file, "", 0, None);
            of_table("", &mut child);
            entry = child.finish();
        }
        let entry = json!({"anyOf": [{"type": "string"}, entry]});
        let schema = json!({"type": "object", "additionalProperties": entry});
        let value = self.declare(key, about, schema);
        let table = value.and_then(|value| self.child(key, format!("[{key}]"), value));
        let entries = table.iter().filter_map(|table| table.entries).flatten();
        let read = entries.filter_map(|(name, value)| {
            let (name, at): (&str, _) = (name.get_ref(), value.span().start);
            if let Some(value) = value.get_ref().as_str() {
                let text = Text {
                    key: name,
                    value,
                    at,
                };
                return self.noted(of_text(&text));
            }
            let mut child = self.child(name, format!("[{key}]"), value)?;
            let read = of_table(name, &mut child);
            child.finish();
            read
        });
        read.collect()
    }

    /// The key `kind` of a table that describes one of several things (`of`), and the keys that
    /// this kind has.
    pub(crate) fn kind<T>(&mut self, of: &str, kinds: &[(&'static str, Read<T>)]) -> Option<T> {
        let about = format!("which kind of {of} it is");
        if self.describing() {
            for (kind, read) in kinds {
                let mut child = Self::new(self.file, "", 0, None);
                child.declare("kind", &about, json!({"const": kind}));
                child.require("kind", "");
                read(&mut child);
                self.schema.add_variant(child.schema);
            }
            return None;
        }
        let names: Vec<&str> = kinds.iter().map(|(kind, _)| *kind).collect();
        let names = format!("The kinds are: {}", names.join(", "));
        let read = self.required("kind", &names, |text| {
            let found = kinds.iter().find(|(kind, _)| *kind == text.value);
            let message = || format!("there is no kind of {of} `{}`", text.value.escape_debug());
            found
                .map(|(_, read)| read)
                .ok_or_else(|| text.mistake(message(), format!("{names}.")))
        });
        self.is_of_unknown_kind = read.is_none();
        read?(self)
    }

    /// Whether the file has it.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries
            .is_some_and(|entries| entries.contains_key(key))
    }

    /// Notes that something is wrong with the table as a whole.
    pub(crate) fn mistake<T>(
        &self,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Option<T> {
        self.note(self.at, message, remedy)
    }

    /// Notes that something is wrong with a key of it.
    pub(crate) fn mistake_at<T>(
        &self,
        key: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Option<T> {
        let value = self.entries.and_then(|entries| entries.get(key));
        let at = value.map_or(self.at, |value| value.span().start);
        self.note(at, message, remedy)
    }

    fn note<T>(
        &self,
        at: usize,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Option<T> {
        self.noted(Err(Mistake::new(at, message, remedy)))
    }

    fn noted<T>(&self, read: Result<T, Mistake>) -> Option<T> {
        // What is only described is no mistake.
        let noted = |mistake| self.entries.is_some().then(|| self.file.note(mistake));
        read.map_err(noted).ok()
    }

    fn describing(&self) -> bool {
        self.entries.is_none()
    }

    fn declare(
        &mut self,
        key: &'static str,
        about: &str,
        schema: Json,
    ) -> Option<&'a Spanned<DeValue<'a>>> {
        self.schema.add(key, about, schema);
        self.entries?.get(key)
    }

    fn text_of(&self, key: &'a str, value: &'a Spanned<DeValue<'a>>) -> Option<Text<'a>> {
        let at = value.span().start;
        let Some(value) = value.get_ref().as_str() else {
            let remedy = format!("Put it into quotes: {key} = \"…\".");
            return self.note(at, format!("`{key}` is not a text"), remedy);
        };
        Some(Text { key, value, at })
    }

    fn child(&self, key: &str, name: String, value: &'a Spanned<DeValue<'a>>) -> Option<Table<'a>> {
        let at = value.span().start;
        let Some(entries) = value.get_ref().as_table() else {
            let remedy = format!("Write its keys below [{key}], or as {key} = {{ … }}.");
            return self.note(
                at,
                format!("`{}` is not a table", key.escape_debug()),
                remedy,
            );
        };
        Some(Self::new(self.file, name, at, Some(entries)))
    }

    /// Notes keys that are unknown or missing.
    fn finish(self) -> Json {
        let entries = self.entries.into_iter().flat_map(DeTable::keys);
        let unknown: Vec<_> = entries
            .filter(|key| !self.schema.keys().any(|known| known == &**key.get_ref()))
            .collect();
        let is_mistyped = |missing: &str, found: &DeString<'_>| nearness(missing, found) > MISTYPED;
        for key in &unknown {
            let found = key.get_ref();
            // Hardly anyone forgets a key, but many mistype one.
            let is_missing = self.missing.iter().any(|(key, _)| is_mistyped(key, found));
            if is_missing || !self.is_of_unknown_kind {
                self.unknown(key);
            }
        }
        for (key, remedy) in &self.missing {
            if !unknown
                .iter()
                .any(|found| is_mistyped(key, found.get_ref()))
            {
                let message = format!("`{key}` is missing in {}", self.name);
                self.mistake::<()>(message, remedy.as_str());
            }
        }
        self.schema.into()
    }

    fn unknown(&self, key: &Spanned<DeString<'_>>) {
        let found = key.get_ref();
        let near = |known: &&str| nearness(known, found);
        let nearest = self
            .schema
            .keys()
            .max_by(|a, b| near(a).total_cmp(&near(b)));
        let hint = nearest.map_or_else(String::new, |key| format!("; did you mean `{key}`?"));
        let message = format!(
            "unknown key `{}` in {}{hint}",
            found.escape_debug(),
            self.name
        );
        let known: Vec<&str> = self.schema.keys().collect();
        let remedy = format!("The keys here are: {}.", known.join(", "));
        self.note::<()>(key.span().start, message, remedy);
    }
}

/// The JSON Schema (2020-12) of a table that is read so.
pub(crate) fn describe<T>(read: fn(&mut Table<'_>) -> T) -> Json {
    let file = File::new("", "");
    let mut table = Table::new(&file, "", 0, None);
    read(&mut table);
    table.finish()
}

/// How alike two keys are, from 0 to 1.
fn nearness(a: &str, b: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(a, b)
}
