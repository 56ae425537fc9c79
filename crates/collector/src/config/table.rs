//! A table of the file that is being read, and mistakes with their line and the nearest key.

use std::path::PathBuf;

use confluence_audit_core::{CloudId, Origin};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::{Error, ErrorKind, Result};

/// The text of a configuration and what to call it.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    pub(crate) origin: &'a str,
}

impl Source<'_> {
    /// An error about what stands at byte `at`.
    pub(crate) fn mistake(self, at: usize, message: &str, remedy: &str) -> Error {
        let before = self.text.as_bytes().iter().take(at);
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        Error::new(
            ErrorKind::Config,
            format!("{} line {line}: {message}", self.origin),
            remedy.to_owned(),
        )
    }
}

/// A table that is being read. It remembers the keys that it was asked for: what is left over at
/// the [end](Self::finish) is unknown, and they are what it may have been meant to be.
pub(crate) struct Section<'a> {
    pub(crate) source: Source<'a>,
    name: &'static str,
    table: &'a DeTable<'a>,
    at: usize,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub(crate) fn new(
        source: Source<'a>,
        name: &'static str,
        table: &'a DeTable<'a>,
        at: usize,
    ) -> Self {
        Self {
            source,
            name,
            table,
            at,
            known: Vec::new(),
        }
    }

    pub(crate) fn mistake(&self, message: &str, remedy: &str) -> Error {
        self.source.mistake(self.at, message, remedy)
    }

    pub(crate) fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.table.get(key)
    }

    pub(crate) fn text(&mut self, key: &'static str) -> Result<Option<Text<'a>>> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let at = value.span().start;
        match value.get_ref().as_str() {
            Some(text) => Ok(Some(Text {
                source: self.source,
                value: text,
                key,
                at,
            })),
            None => Err(self.source.mistake(
                at,
                &format!("`{key}` is not a text"),
                &format!("Put it into quotes: {key} = \"…\"."),
            )),
        }
    }

    /// A number and where it stands.
    pub(crate) fn number(&mut self, key: &'static str) -> Result<Option<(i64, usize)>> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let at = value.span().start;
        let number = value
            .get_ref()
            .as_integer()
            .and_then(|number| i64::from_str_radix(number.as_str(), number.radix()).ok());
        let number = number.ok_or_else(|| {
            let message = format!("`{key}` is not a whole number");
            self.source
                .mistake(at, &message, &format!("Write it as {key} = 4."))
        })?;
        Ok(Some((number, at)))
    }

    /// True or false; false when it is missing.
    pub(crate) fn flag(&mut self, key: &'static str) -> Result<bool> {
        let Some(value) = self.value(key) else {
            return Ok(false);
        };
        value.get_ref().as_bool().ok_or_else(|| {
            let message = format!("`{key}` is neither true nor false");
            let remedy = format!("Write {key} = true, without quotes, or leave it out.");
            self.source.mistake(value.span().start, &message, &remedy)
        })
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    pub(crate) fn required(&mut self, key: &'static str, what: &str) -> Result<Text<'a>> {
        if let Some(text) = self.text(key)? {
            return Ok(text);
        }
        // Hardly anyone forgets a key, but many mistype one.
        if let Some(mistyped) = self
            .unknown()
            .find(|found| nearness(found.get_ref(), key) > 0.6)
        {
            return Err(self.unknown_key(mistyped));
        }
        Err(self.mistake(
            &format!("`{key}` is missing in {}", self.place()),
            &format!("Add {key} = \"…\": {what}."),
        ))
    }

    pub(crate) fn table(&mut self, key: &'static str) -> Result<Option<Section<'a>>> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        self.section(key, value).map(Some)
    }

    pub(crate) fn tables(&mut self, key: &'static str) -> Result<Vec<Section<'a>>> {
        let Some(value) = self.value(key) else {
            return Ok(Vec::new());
        };
        let Some(array) = value.get_ref().as_array() else {
            return Err(self.source.mistake(
                value.span().start,
                &format!("`{key}` is not a list"),
                &format!("Write [[{key}]], with two brackets, above each one."),
            ));
        };
        array.iter().map(|value| self.section(key, value)).collect()
    }

    pub(crate) fn section(
        &self,
        key: &'static str,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Result<Section<'a>> {
        let at = value.span().start;
        match value.get_ref().as_table() {
            Some(table) => Ok(Section::new(self.source, key, table, at)),
            None => Err(self.source.mistake(
                at,
                &format!("`{key}` is not a table"),
                &format!("Write its keys below [{key}], or as {key} = {{ … }}."),
            )),
        }
    }

    /// What stands in it, where any key may.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'a str, &'a Spanned<DeValue<'a>>)> {
        self.table
            .iter()
            .map(|(key, value)| (&**key.get_ref(), value))
    }

    /// Refuses what nobody asked for, the first such key in the file.
    pub(crate) fn finish(self) -> Result<()> {
        match self.unknown().min_by_key(|key| key.span().start) {
            Some(key) => Err(self.unknown_key(key)),
            None => Ok(()),
        }
    }

    pub(crate) fn unknown(&self) -> impl Iterator<Item = &'a Spanned<DeString<'a>>> {
        self.table.keys().filter(|key| {
            let key: &str = key.get_ref();
            !self.known.contains(&key)
        })
    }

    pub(crate) fn unknown_key(&self, key: &Spanned<DeString<'_>>) -> Error {
        let near = |known: &str| nearness(known, key.get_ref());
        let nearest = self.known.iter().max_by(|a, b| near(a).total_cmp(&near(b)));
        let hint = match nearest {
            Some(nearest) => format!("; did you mean `{nearest}`?"),
            None => String::new(),
        };
        let shown = key.get_ref().escape_debug();
        self.source.mistake(
            key.span().start,
            &format!("unknown key `{shown}` in {}{hint}", self.place()),
            &format!("The keys here are: {}.", self.known.join(", ")),
        )
    }

    pub(crate) fn place(&self) -> String {
        match self.name {
            "" => "the file".to_owned(),
            "site" | "output" => format!("[[{}]]", self.name),
            name => format!("[{name}]"),
        }
    }
}

/// How alike two keys are, from 0 to 1.
fn nearness(a: &str, b: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(a, b)
}

/// A text value and where it stands.
pub(crate) struct Text<'a> {
    source: Source<'a>,
    key: &'static str,
    pub(crate) value: &'a str,
    at: usize,
}

impl<'a> Text<'a> {
    pub(crate) fn mistake(&self, message: &str, remedy: &str) -> Error {
        self.source.mistake(self.at, message, remedy)
    }

    pub(crate) fn non_empty(&self) -> Result<&'a str> {
        if self.value.is_empty() {
            let message = format!("`{}` is empty", self.key);
            return Err(self.mistake(&message, "Fill it in, or leave the line out."));
        }
        Ok(self.value)
    }

    pub(crate) fn into_path(self) -> Result<PathBuf> {
        self.non_empty().map(PathBuf::from)
    }

    /// An address that credentials may be sent to.
    pub(crate) fn to_origin(&self) -> Result<Origin> {
        Origin::parse(self.value).map_err(|error| {
            self.mistake(
                &format!("`{}`: {error}", self.key),
                "Write it as https://acme.atlassian.net; http is for loopback addresses alone, \
                 since credentials go there.",
            )
        })
    }

    pub(crate) fn to_cloud_id(&self) -> Result<CloudId> {
        CloudId::new(self.value).map_err(|error| {
            let message = format!("`{}`: {error}", self.key);
            self.mistake(
                &message,
                "It is found at the site under /_edge/tenant_info.",
            )
        })
    }
}
