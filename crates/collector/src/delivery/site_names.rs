//! Names and ids of the configured sites, as far as their ids are known.

use std::collections::HashMap;
use std::sync::Arc;

use confluence_audit_formats::Context;

use crate::SiteId;
use crate::config::SiteConfig;
use crate::spool::Spooled;

/// The configured sites whose ids are known. In lines a site that is not among them is called by
/// its id.
#[derive(Clone, Debug, Default)]
pub struct SiteNames {
    by_id: HashMap<SiteId, Named>,
    ids: HashMap<Arc<str>, SiteId>,
}

#[derive(Clone, Debug)]
struct Named {
    name: Arc<str>,
    url: Option<String>,
}

impl SiteNames {
    /// Adds a site, which was found to have this id.
    pub fn add(&mut self, id: SiteId, site: &SiteConfig) {
        let name: Arc<str> = site.name.as_str().into();
        let named = Named {
            name: Arc::clone(&name),
            url: site.address.url().map(ToString::to_string),
        };
        self.ids.insert(name, id.clone());
        self.by_id.insert(id, named);
    }

    /// The id of the site that is configured by this name.
    pub fn id(&self, name: &str) -> Option<&SiteId> {
        self.ids.get(name)
    }

    /// Whether this is the id of one of them.
    pub(super) fn knows(&self, site: &SiteId) -> bool {
        self.by_id.contains_key(site)
    }

    /// What people call the site.
    pub(super) fn name(&self, site: &SiteId) -> Arc<str> {
        let named = self.by_id.get(site);
        named.map_or_else(|| site.as_str().into(), |named| Arc::clone(&named.name))
    }

    /// What a line says of a record besides the record.
    pub(super) fn context<'a>(&'a self, record: &'a Spooled) -> Context<'a> {
        let named = self.by_id.get(&record.site);
        let id = record.site.as_str();
        Context {
            site: named.map_or(id, |named| &named.name),
            site_id: id,
            url: named.and_then(|named| named.url.as_deref()),
            time: record.time,
            fingerprint: record.fingerprint,
            ordinal: record.ordinal,
            original: true,
        }
    }
}
