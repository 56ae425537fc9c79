//! Queries: what is asked of the audit log.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Which records to ask for, and which page of them.
///
/// ```
/// use confluence_audit_core::{AuditQuery, Timestamp};
///
/// let query = AuditQuery::new()
///     .since(Timestamp::from_millis(1_643_000_000_000))
///     .search("Page moved")
///     .limit(500);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditQuery {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    search: Option<String>,
    start: u64,
    limit: Option<u32>,
}

impl AuditQuery {
    /// The whole log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only records at or after `time` (`startDate`, documented as inclusive).
    #[must_use]
    pub fn since(mut self, time: Timestamp) -> Self {
        self.since = Some(time);
        self
    }

    /// Only records at or before `time` (`endDate`, documented as inclusive).
    #[must_use]
    pub fn until(mut self, time: Timestamp) -> Self {
        self.until = Some(time);
        self
    }

    /// Only records one of whose values holds `text` (`searchString`).
    #[must_use]
    pub fn search(mut self, text: impl Into<String>) -> Self {
        self.search = Some(text.into());
        self
    }

    /// Leaves out the first `records` records.
    #[must_use]
    pub fn start(mut self, records: u64) -> Self {
        self.start = records;
        self
    }

    /// At most `records` records a page. Not given, it is the service's default, 1000; the
    /// service may give fewer than asked.
    #[must_use]
    pub fn limit(mut self, records: u32) -> Self {
        self.limit = Some(records);
        self
    }

    pub(crate) fn pairs(&self) -> Pairs {
        let mut pairs = Pairs::default();
        pairs.push("startDate", self.since.map(Timestamp::as_millis));
        pairs.push("endDate", self.until.map(Timestamp::as_millis));
        pairs.push("searchString", self.search.as_ref());
        pairs.push("start", Some(self.start).filter(|start| *start > 0));
        pairs.push("limit", self.limit);
        pairs
    }
}

/// A span back from now, for [`AuditClient::audit_since`](crate::AuditClient::audit_since): the
/// service counts it by its own clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinceQuery {
    number: u64,
    units: TimeUnit,
    search: Option<String>,
    start: u64,
    limit: Option<u32>,
}

impl SinceQuery {
    /// The last `number` `units`.
    pub fn new(number: u64, units: TimeUnit) -> Self {
        Self {
            number,
            units,
            search: None,
            start: 0,
            limit: None,
        }
    }

    /// Only records one of whose values holds `text` (`searchString`).
    #[must_use]
    pub fn search(mut self, text: impl Into<String>) -> Self {
        self.search = Some(text.into());
        self
    }

    /// Leaves out the first `records` records.
    #[must_use]
    pub fn start(mut self, records: u64) -> Self {
        self.start = records;
        self
    }

    /// At most `records` records a page; 1000 when it is not given.
    #[must_use]
    pub fn limit(mut self, records: u32) -> Self {
        self.limit = Some(records);
        self
    }

    pub(crate) fn pairs(&self) -> Pairs {
        let mut pairs = Pairs::default();
        pairs.push("number", Some(self.number));
        pairs.push("units", Some(self.units.as_str()));
        pairs.push("searchString", self.search.as_ref());
        pairs.push("start", Some(self.start).filter(|start| *start > 0));
        pairs.push("limit", self.limit);
        pairs
    }
}

/// The units in which the API counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
#[expect(missing_docs, reason = "each says what it is")]
pub enum TimeUnit {
    Nanos,
    Micros,
    Millis,
    Seconds,
    Minutes,
    Hours,
    HalfDays,
    Days,
    Weeks,
    Months,
    Years,
    Decades,
    Centuries,
}

impl TimeUnit {
    fn as_str(self) -> &'static str {
        match self {
            Self::Nanos => "NANOS",
            Self::Micros => "MICROS",
            Self::Millis => "MILLIS",
            Self::Seconds => "SECONDS",
            Self::Minutes => "MINUTES",
            Self::Hours => "HOURS",
            Self::HalfDays => "HALF_DAYS",
            Self::Days => "DAYS",
            Self::Weeks => "WEEKS",
            Self::Months => "MONTHS",
            Self::Years => "YEARS",
            Self::Decades => "DECADES",
            Self::Centuries => "CENTURIES",
        }
    }
}

/// Which records to export as a file, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportQuery {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    search: Option<String>,
    zip: bool,
}

impl ExportQuery {
    /// The whole log as CSV.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only records at or after `time`.
    #[must_use]
    pub fn since(mut self, time: Timestamp) -> Self {
        self.since = Some(time);
        self
    }

    /// Only records at or before `time`.
    #[must_use]
    pub fn until(mut self, time: Timestamp) -> Self {
        self.until = Some(time);
        self
    }

    /// Only records one of whose values holds `text`.
    #[must_use]
    pub fn search(mut self, text: impl Into<String>) -> Self {
        self.search = Some(text.into());
        self
    }

    /// As a ZIP archive instead.
    #[must_use]
    pub fn zip(mut self) -> Self {
        self.zip = true;
        self
    }

    pub(crate) fn pairs(&self) -> Pairs {
        let mut pairs = Pairs::default();
        pairs.push("startDate", self.since.map(Timestamp::as_millis));
        pairs.push("endDate", self.until.map(Timestamp::as_millis));
        pairs.push("searchString", self.search.as_ref());
        pairs.push("format", Some(if self.zip { "zip" } else { "csv" }));
        pairs
    }
}

/// The names and values of a query string, in order, not yet encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Pairs(Vec<(String, String)>);

impl Pairs {
    pub(crate) fn push(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.0.push((name.into(), value.to_string()));
        }
    }

    /// Reads them from the query of a link, which may be relative; `None` when it has no query.
    pub(crate) fn of_link(link: &str) -> Option<Self> {
        let (_, query) = link.split_once('?')?;
        let query = query.split('#').next().unwrap_or_default();
        let pairs = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        Some(Self(pairs))
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(key, _)| key == name)?.1.parse().ok()
    }

    /// The same with `name` set to `value`, which goes to the end when it was not there.
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some(pair) => pair.1 = value.to_string(),
            None => self.push(name, Some(value)),
        }
        self
    }

    /// The encoded query; `None` when it is empty.
    pub(crate) fn encode(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.0);
        Some(query.finish())
    }
}
