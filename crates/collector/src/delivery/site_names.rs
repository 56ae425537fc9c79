//! What lines call the sites that their records are from.

use std::collections::HashMap;
use std::sync::Arc;

use confluence_audit_formats::Context;

use crate::SiteId;
use crate::config::SiteConfig;
use crate::spool::Spooled;

/// The names and addresses of sites. A site that is not among them is called by its id.
#[derive(Clone, Debug, Default)]
pub struct SiteNames(HashMap<SiteId, Label>);

#[derive(Clone, Debug)]
struct Label {
    name: Arc<str>,
    url: Option<String>,
}

impl SiteNames {
    /// Calls the site of this id as it is configured.
    pub fn add(&mut self, id: SiteId, site: &SiteConfig) {
        let label = Label {
            name: site.name.as_str().into(),
            url: site.address.url().map(ToString::to_string),
        };
        self.0.insert(id, label);
    }

    /// What people call the site.
    pub(super) fn name(&self, site: &SiteId) -> Arc<str> {
        let label = self.0.get(site);
        label.map_or_else(|| site.as_str().into(), |label| Arc::clone(&label.name))
    }

    /// What a line says of a record besides the record.
    pub(super) fn context<'a>(&'a self, record: &'a Spooled) -> Context<'a> {
        let label = self.0.get(&record.site);
        let id = record.site.as_str();
        Context {
            site: label.map_or(id, |label| &label.name),
            site_id: id,
            url: label.and_then(|label| label.url.as_deref()),
            time: record.time,
            fingerprint: record.fingerprint,
            ordinal: record.ordinal,
            original: true,
        }
    }
}
