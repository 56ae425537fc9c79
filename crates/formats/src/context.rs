//! The context of a record: its site, and the id of its event.

use std::fmt;

use confluence_audit_core::{Fingerprint, RawRecord, Timestamp};

/// Where a record is from, and which of the site's records it is.
///
/// Nothing in it is the time of reading: a line that is written again after a crash has to be the
/// same to the byte.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The site's name in the configuration.
    pub site: &'a str,
    /// The site's cloud id, or its host where it is read without one.
    pub site_id: &'a str,
    /// The site's address, `https://acme.atlassian.net`, where it is known.
    pub url: Option<&'a str>,
    /// When the record happened; for one that does not say so, the time that it is filed under.
    pub time: Timestamp,
    /// The name of its content.
    pub fingerprint: Fingerprint,
    /// Which of the copies with this time and content it is, from 1.
    pub ordinal: u32,
    /// Whether [`ecs`](crate::ecs) and [`ocsf`](crate::ocsf) carry the record's own text too.
    pub original: bool,
}

impl<'a> Context<'a> {
    /// For the first copy of a record of this site, with its text.
    ///
    /// ```
    /// use confluence_audit_core::RawRecord;
    /// use confluence_audit_formats::Context;
    ///
    /// let record = RawRecord::parse(r#"{"summary":"Page moved","creationDate":1643097111962}"#)?;
    /// let context = Context::new("acme", "0a1b", &record);
    /// assert!(context.event_id().to_string().starts_with("0a1b-1643097111962-"));
    /// # Ok::<(), confluence_audit_core::Error>(())
    /// ```
    pub fn new(site: &'a str, site_id: &'a str, record: &RawRecord) -> Self {
        Self {
            site,
            site_id,
            url: None,
            time: record.time().unwrap_or(Timestamp::from_millis(0)),
            fingerprint: record.fingerprint(),
            ordinal: 1,
            original: true,
        }
    }

    /// The name of the event among those of all sites.
    pub fn event_id(&self) -> EventId<'a> {
        EventId {
            site: self.site_id,
            time: self.time,
            fingerprint: self.fingerprint,
            ordinal: self.ordinal,
        }
    }
}

/// Names one event: `SITE-MILLISECONDS-FINGERPRINT-ORDINAL`.
///
/// The site is part of it because what a directory does to several sites at once can come out the
/// same to the byte on each; the time, because copies are counted by the millisecond that they are
/// filed under, which a record need not tell itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventId<'a> {
    site: &'a str,
    time: Timestamp,
    fingerprint: Fingerprint,
    ordinal: u32,
}

impl fmt::Display for EventId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            site,
            time,
            fingerprint,
            ordinal,
        } = self;
        let millis = time.as_millis();
        write!(f, "{site}-{millis}-{fingerprint}-{ordinal}")
    }
}
