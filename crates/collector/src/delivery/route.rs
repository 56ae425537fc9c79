//! Where to, in which form, and from where.

use confluence_audit_formats::Format;

use crate::SiteId;
use crate::output::{BatchLimits, Output};

/// An output with what goes to it.
pub struct Route {
    /// The place.
    pub output: Box<dyn Output>,
    /// In which form.
    pub format: Format,
    /// From where.
    pub source: Source,
    /// How much at a time.
    pub batch: BatchLimits,
}

/// Whose records an output gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Those of all sites.
    All,
    /// Those of this site.
    Site(SiteId),
    /// Those of a site that was not found yet, and is none of these. A record of another one may
    /// be its own, from an earlier run: that record waits, and so does what comes behind it.
    Unknown(Vec<SiteId>),
}

impl Source {
    /// Whether a record of `site` is one of its; `None` when that cannot be told.
    pub fn holds(&self, site: &SiteId) -> Option<bool> {
        match self {
            Self::All => Some(true),
            Self::Site(its) => Some(its == site),
            Self::Unknown(others) => others.contains(site).then_some(false),
        }
    }
}
