//! The `Source` trait: a log that can be asked for a span of time; and Confluence's, which is one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;

use crate::client::AuditClient;
use crate::client::pager::Pager;
use crate::client::query::AuditQuery;
use crate::error::{Error, ErrorKind};
use crate::fingerprint::Fingerprint;
use crate::record::RawRecord;
use crate::time::Timestamp;

/// How many records a page is asked for: the service's own default.
pub(super) const PAGE_SIZE: u32 = 1000;

/// So many records in a row may be larger than an answer may be.
const SKIPPED_MAX: u64 = 100;

/// A log that can be read by time.
///
/// Nothing is asked of its order, of whether the ends of a span are included, or of how many
/// records a page holds: the reading is right either way.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync {
    /// The pages of what lies between two instants; without `to` up to the newest record.
    fn pages(&self, from: Timestamp, to: Option<Timestamp>) -> Box<dyn SourcePages>;

    /// How long the log keeps records, where it says so.
    ///
    /// # Errors
    /// Every kind that is about the service, the network or the credentials.
    async fn retention(&self) -> Result<Option<Duration>, Error>;

    /// The most records that a page of this log has held: what is said to be the last page and
    /// holds fewer was not cut. Zero where none is known.
    fn largest_page(&self) -> usize {
        0
    }

    /// What identifies a record: a key of the log's own where it has one, else the fingerprint of
    /// the record's content.
    fn key(&self, record: &RawRecord) -> Fingerprint {
        record.fingerprint()
    }
}

/// Pages that are asked for one after the other.
#[async_trait]
pub trait SourcePages: Send {
    /// The next page; `None` behind an empty one that has no next.
    ///
    /// Behind a page that is said to be the last, what lies there is asked for all the same, because
    /// the saying can be wrong.
    ///
    /// # Errors
    /// Every kind that is about the service, the network or the credentials.
    async fn next(&mut self) -> Result<Option<SourcePage>, Error>;

    /// Whether an offset changes what is given: far behind all records there is nothing.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    async fn heeds_offset(&mut self) -> Result<bool, Error>;
}

/// Records of one answer, in its order.
#[derive(Clone, Debug)]
pub struct SourcePage {
    /// The records.
    pub records: Vec<RawRecord>,
    /// The log's clock when it answered.
    pub server_time: Option<Timestamp>,
    /// Whether another page follows, as far as the log says so.
    pub has_next: bool,
}

/// The audit log of one Confluence site (REST API v1), or what of it matches a search.
#[derive(Clone, Debug)]
pub struct SiteLog {
    client: AuditClient,
    search: Option<String>,
    largest_page: Arc<AtomicUsize>,
    /// How many records a page is asked for: fewer once an answer was too large.
    page_size: Arc<AtomicU64>,
}

impl SiteLog {
    /// The whole log that `client` asks.
    pub fn new(client: AuditClient) -> Self {
        Self {
            client,
            search: None,
            largest_page: Arc::default(),
            page_size: Arc::new(AtomicU64::new(PAGE_SIZE.into())),
        }
    }

    /// A page has held so many records before.
    #[must_use]
    pub fn with_largest_page(self, records: usize) -> Self {
        self.largest_page.fetch_max(records, Ordering::Relaxed);
        self
    }

    fn page_size(&self) -> u32 {
        let size = self.page_size.load(Ordering::Relaxed);
        u32::try_from(size).unwrap_or(PAGE_SIZE).max(1)
    }

    /// Only records one of whose values holds `text`.
    #[must_use]
    pub fn search(mut self, text: Option<String>) -> Self {
        self.search = text;
        self
    }
}

#[async_trait]
impl Source for SiteLog {
    fn pages(&self, from: Timestamp, to: Option<Timestamp>) -> Box<dyn SourcePages> {
        let mut query = AuditQuery::new().limit(self.page_size());
        // A beginning before all records is not asked for at all.
        if from.as_millis() > 0 {
            query = query.since(from);
        }
        if let Some(to) = to {
            query = query.until(to);
        }
        if let Some(search) = &self.search {
            query = query.search(search);
        }
        Box::new(SiteLogPages {
            pager: self.client.pages(&query),
            largest_page: Arc::clone(&self.largest_page),
            page_size: Arc::clone(&self.page_size),
        })
    }

    fn largest_page(&self) -> usize {
        // Of a page that was asked for fewer records, no more can be told.
        let asked = self.page_size.load(Ordering::Relaxed);
        let asked = usize::try_from(asked).unwrap_or(usize::MAX);
        self.largest_page.load(Ordering::Relaxed).min(asked)
    }

    async fn retention(&self) -> Result<Option<Duration>, Error> {
        let days = self.client.retention().await?.days();
        Ok(days.map(|days| Duration::from_hours(days.saturating_mul(24))))
    }
}

struct SiteLogPages {
    pager: Pager,
    largest_page: Arc<AtomicUsize>,
    page_size: Arc<AtomicU64>,
}

#[async_trait]
impl SourcePages for SiteLogPages {
    async fn next(&mut self) -> Result<Option<SourcePage>, Error> {
        if !self.pager.go_on_behind_last() {
            return Ok(None);
        }
        let mut skipped = 0;
        let page = loop {
            match self.pager.try_next().await {
                Ok(page) => break page,
                Err(error) if error.kind() == ErrorKind::TooLarge => {
                    if self.pager.ask_for_fewer() {
                        let limit = self.pager.limit().unwrap_or(1);
                        self.page_size.fetch_min(limit, Ordering::Relaxed);
                        tracing::debug!(limit, "an answer was too large: fewer records a page");
                    } else if skipped < SKIPPED_MAX {
                        self.pager.skip_record();
                        skipped += 1;
                    } else {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        };
        if skipped > 0 {
            let next = page.as_ref().and_then(|page| page.records.first());
            tracing::error!(
                records = skipped,
                before = next.and_then(RawRecord::time).map(tracing::field::display),
                "a record is larger than an answer may be, and is left out: raise the limit, or \
                 read it on the site"
            );
        }
        Ok(page.map(|page| {
            let has_next = self.pager.position().is_some();
            self.largest_page
                .fetch_max(page.records.len(), Ordering::Relaxed);
            SourcePage {
                records: page.records,
                server_time: page.server_time,
                has_next,
            }
        }))
    }

    async fn heeds_offset(&mut self) -> Result<bool, Error> {
        let far = self.pager.far_page().await?;
        Ok(far.records.is_empty())
    }
}
