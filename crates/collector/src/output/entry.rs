//! A record as an output gets it: the line that is to be delivered, and what it is called.

use std::sync::Arc;

use bytes::Bytes;
use confluence_audit_core::{Fingerprint, Timestamp};
use confluence_audit_formats::Context;

use crate::SiteId;

/// A formatted record with its name.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The record in the output's format, without a newline.
    pub line: Bytes,
    /// What people call the site that it is from.
    pub site: Arc<str>,
    /// The site that it is from.
    pub site_id: SiteId,
    /// When it happened.
    pub time: Timestamp,
    /// What identifies its content.
    pub fingerprint: Fingerprint,
    /// Which of the copies with this time and fingerprint it is, from 1.
    pub ordinal: u32,
}

impl Entry {
    /// The name of the event, the same at every attempt, and on every host that reads the site:
    /// `SITE-MILLISECONDS-FINGERPRINT-ORDINAL`.
    pub fn id(&self) -> String {
        let context = Context {
            site: &self.site,
            site_id: self.site_id.as_str(),
            url: None,
            time: self.time,
            fingerprint: self.fingerprint,
            ordinal: self.ordinal,
            original: true,
        };
        context.event_id().to_string()
    }
}

#[cfg(any(test, feature = "test-support"))]
impl Entry {
    /// The entry of a line, the `number`th of a site.
    pub(crate) fn example(line: impl Into<Bytes>, number: i64) -> Self {
        let line = line.into();
        Self {
            site: "acme".into(),
            site_id: SiteId::new("0a1b"),
            time: Timestamp::from_millis(1_767_225_600_000 + number),
            fingerprint: Fingerprint::from_bytes([7; Fingerprint::LEN]),
            ordinal: 1,
            line,
        }
    }
}
