//! The names of formats.

use std::fmt;
use std::str::FromStr;

use crate::{Error, ErrorKind, Result};

/// The name of a format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatName {
    /// The record as the site wrote it, compact, one a line.
    #[default]
    Raw,
}

impl FormatName {
    /// Every format there is.
    pub const ALL: &[Self] = &[Self::Raw];

    /// The name as it is written in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
        }
    }
}

impl fmt::Display for FormatName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for FormatName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|format| format.as_str() == name);
        found.copied().ok_or_else(|| {
            let all: Vec<&str> = Self::ALL.iter().map(|format| format.as_str()).collect();
            Error::new(
                ErrorKind::Config,
                format!("there is no format `{}`", name.escape_debug()),
                format!("The formats are: {}.", all.join(", ")),
            )
        })
    }
}
