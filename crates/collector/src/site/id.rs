//! Site ids: the name under which a site's progress is kept.

use std::fmt;
use std::sync::Arc;

/// One Confluence site: its cloud id, or its host where it is read without the gateway.
///
/// The watermark, the ledger and the spooled records of a site hang on it, so it must not change
/// while the site stays the same; a site's name in the configuration may.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(Arc<str>);

impl SiteId {
    /// The site with this cloud id or host.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SiteId({})", self.0)
    }
}
