//! Lines of exported records, with the names that a run gives their events.

use std::collections::HashMap;

use confluence_audit_core::{Fingerprint, RawRecord, Timestamp};
use confluence_audit_formats::{Context, Line, line, raw};

use crate::SiteId;
use crate::config::{Format, SiteConfig};

/// Makes the lines of one site's records, which have to come in the order of their time.
pub struct Lines<'a> {
    format: Format,
    site: &'a str,
    site_id: &'a str,
    url: Option<String>,
    /// How many copies there were of each record of the millisecond that is being written.
    copies: HashMap<Fingerprint, u32>,
    time: Option<Timestamp>,
    unfit: u64,
}

impl<'a> Lines<'a> {
    /// Lines of this form; the site stands in those that say where a record is from.
    pub fn new(format: Format, site: &'a SiteConfig, id: &'a SiteId) -> Self {
        Self {
            format,
            site: &site.name,
            site_id: id.as_str(),
            url: site.address.url().map(ToString::to_string),
            copies: HashMap::new(),
            time: None,
            unfit: 0,
        }
    }

    /// The line of a record that is filed under `time`.
    pub fn line(&mut self, time: Timestamp, record: &RawRecord) -> Line {
        if self.format == Format::Raw {
            // Its line has no name for the event, so that none has to be computed.
            return Line {
                bytes: raw::line(record),
                fits: true,
            };
        }
        if self.time.replace(time) != Some(time) {
            self.copies.clear();
        }
        let fingerprint = record.fingerprint();
        let ordinal = self.copies.entry(fingerprint).or_insert(0);
        *ordinal += 1;
        let context = Context {
            site: self.site,
            site_id: self.site_id,
            url: self.url.as_deref(),
            time,
            fingerprint,
            ordinal: *ordinal,
            original: true,
        };
        let line = line(self.format, record, &context);
        self.unfit += u64::from(!line.fits);
        line
    }

    /// Warns where records did not fit the form.
    pub fn warn_of_unfit(&self) {
        if self.unfit > 0 {
            tracing::warn!(
                records = self.unfit,
                "records did not fit the format {}; they were written as the site wrote them, and \
                 are marked",
                self.format
            );
        }
    }
}
