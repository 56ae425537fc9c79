//! The list of formats: their names, and a record written in one of them.

use std::fmt;
use std::str::FromStr;

use confluence_audit_core::RawRecord;

use crate::context::Context;
use crate::line::Line;
use crate::{cef, csv, ecs, flat, ocsf, raw};

/// A form in which a record can be written.
///
/// ```
/// use confluence_audit_formats::Format;
///
/// assert_eq!("ecs".parse(), Ok(Format::Ecs));
/// assert!("xml".parse::<Format>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// The record as the site wrote it: see [`raw`].
    #[default]
    Raw,
    /// The same with dotted keys: see [`flat`].
    Flat,
    /// The Elastic Common Schema: see [`ecs`].
    Ecs,
    /// The Open Cybersecurity Schema Framework: see [`ocsf`].
    Ocsf,
    /// `ArcSight`'s Common Event Format: see [`cef`].
    Cef,
    /// Comma-separated values: see [`csv`].
    Csv,
}

impl Format {
    /// Every format there is.
    pub const ALL: &[Self] = &[
        Self::Raw,
        Self::Flat,
        Self::Ecs,
        Self::Ocsf,
        Self::Cef,
        Self::Csv,
    ];

    /// Its name, as users write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Flat => "flat",
            Self::Ecs => "ecs",
            Self::Ocsf => "ocsf",
            Self::Cef => "cef",
            Self::Csv => "csv",
        }
    }

    /// Whether a line is a JSON value.
    pub const fn is_json(self) -> bool {
        match self {
            Self::Raw | Self::Flat | Self::Ecs | Self::Ocsf => true,
            Self::Cef | Self::Csv => false,
        }
    }

    /// What a file in this form begins with, without a line break at its end.
    pub const fn header(self) -> Option<&'static str> {
        match self {
            Self::Csv => Some(csv::HEADER),
            _ => None,
        }
    }
}

/// Its name.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// There is no format of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownFormat;

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no format of this name; the formats are ")?;
        for (index, format) in Format::ALL.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{format}")?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownFormat {}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let found = Self::ALL.iter().find(|format| format.as_str() == name);
        found.copied().ok_or(UnknownFormat)
    }
}

/// The record as a line of this format.
pub fn line(format: Format, record: &RawRecord, context: &Context<'_>) -> Line {
    match format {
        Format::Raw => Line::mapped(raw::line(record)),
        Format::Flat => flat::line(record, context),
        Format::Ecs => ecs::line(record, context),
        Format::Ocsf => ocsf::line(record, context),
        Format::Cef => cef::line(record, context),
        Format::Csv => csv::line(record, context),
    }
}
