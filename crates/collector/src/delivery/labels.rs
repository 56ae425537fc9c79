//! What lines call the sites that their records are from.

use std::collections::HashMap;

use confluence_audit_formats::Context;

use crate::SiteId;
use crate::config::SiteConfig;
use crate::spool::Spooled;

/// The names and addresses of sites. A site that is not among them is called by its id.
#[derive(Clone, Debug, Default)]
pub struct Labels(HashMap<SiteId, Label>);

#[derive(Clone, Debug)]
struct Label {
    name: String,
    url: Option<String>,
}

impl Labels {
    /// Calls the site of this id as it is configured.
    pub fn add(&mut self, id: SiteId, site: &SiteConfig) {
        let label = Label {
            name: site.name.clone(),
            url: site.address.url().map(ToString::to_string),
        };
        self.0.insert(id, label);
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
