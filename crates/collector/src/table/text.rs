//! A text of the configuration file, and the values that texts stand for.

use std::path::PathBuf;
use std::time::Duration;

use confluence_audit_core::{CloudId, Origin};

use super::Mistake;
use crate::fs::is_name;
use crate::value::{parse_duration, parse_size};

/// A text, its key and its place.
pub(crate) struct Text<'a> {
    pub(super) key: &'a str,
    pub(crate) value: &'a str,
    pub(super) at: usize,
}

impl Text<'_> {
    pub(crate) fn mistake(&self, message: impl Into<String>, remedy: impl Into<String>) -> Mistake {
        Mistake::new(self.at, message, remedy)
    }

    /// The key.
    pub(crate) fn key(&self) -> &str {
        self.key
    }

    /// The text itself, which is not empty.
    pub(crate) fn filled(&self) -> Result<String, Mistake> {
        if self.value.is_empty() {
            let message = format!("`{}` is empty", self.key);
            return Err(self.mistake(message, "Fill it in, or leave the line out."));
        }
        Ok(self.value.to_owned())
    }

    pub(crate) fn path(&self) -> Result<PathBuf, Mistake> {
        self.filled().map(PathBuf::from)
    }

    /// The file of a secret that is read more than once.
    pub(crate) fn secret_path(&self) -> Result<PathBuf, Mistake> {
        if self.value == "-" {
            let message = format!(
                "`{}` is standard input, which can be read only once",
                self.key
            );
            let remedy = "Name a file that its owner alone can read, or a credential of the unit.";
            return Err(self.mistake(message, remedy));
        }
        self.path()
    }

    /// A name of letters, digits and a few signs, of what `of` says.
    pub(crate) fn name(&self, of: &str) -> Result<String, Mistake> {
        if !is_name(self.value) {
            let message = format!("`{}` cannot be {of} name", self.value.escape_debug());
            let remedy = "Use letters, digits, `.`, `_` and `-`, and begin with none of the dots: \
                          the name becomes a part of file names.";
            return Err(self.mistake(message, remedy));
        }
        Ok(self.value.to_owned())
    }

    pub(crate) fn duration(&self) -> Result<Duration, Mistake> {
        parse_duration(self.value).map_err(|error| {
            self.mistake(
                error.to_string(),
                format!("Write it as {} = \"10m\".", self.key),
            )
        })
    }

    pub(crate) fn size(&self) -> Result<u64, Mistake> {
        parse_size(self.value).ok_or_else(|| {
            let text = self.value.escape_debug();
            self.mistake(
                format!("`{}` is `{text}`, which is no size", self.key),
                "Write a whole number with its unit: \"1GiB\", \"500MB\" or \"64KiB\".",
            )
        })
    }

    /// An address that credentials may be sent to.
    pub(crate) fn origin(&self) -> Result<Origin, Mistake> {
        Origin::parse(self.value).map_err(|error| {
            self.mistake(
                format!("`{}`: {error}", self.key),
                "Write it as https://acme.atlassian.net; http is for loopback addresses alone, \
                 since credentials go there.",
            )
        })
    }

    pub(crate) fn cloud_id(&self) -> Result<CloudId, Mistake> {
        CloudId::new(self.value).map_err(|error| {
            self.mistake(
                format!("`{}`: {error}", self.key),
                "It is found at the site under /_edge/tenant_info.",
            )
        })
    }
}
