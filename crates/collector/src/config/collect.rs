//! `[collect]`: how sites are read.

use std::num::NonZeroUsize;
use std::time::Duration;

use confluence_audit_core::RetryPolicy;
use confluence_audit_core::read::Lookback;

use crate::table::{Mistake, Table, Text};
use crate::value::When;

/// More at a time would only run into the service's rate limit.
pub const MOST_JOBS: u8 = 16;

/// More sites at a time would only wait for each other.
const MOST_PASSES: i64 = 256;

/// More requests a second no service takes.
const MOST_REQUESTS: i64 = 10_000;

/// How sites are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collect {
    /// The time between two passes over a site.
    pub interval: Duration,
    /// Where the first pass begins.
    pub start: Start,
    /// How many windows of the log are read at the same time.
    pub jobs: NonZeroUsize,
    /// What is read again, and how often.
    pub reread: Vec<Lookback>,
    /// How failed requests are made again.
    pub retry: RetryPolicy,
    /// How many sites a daemon reads at the same time.
    pub passes: NonZeroUsize,
    /// The most requests a second that a daemon makes to a site in the long run.
    pub site_rate: u32,
    /// The same for all sites that share an account or app.
    pub account_rate: u32,
}

impl Default for Collect {
    /// Every ten minutes, from everything that the site retains.
    fn default() -> Self {
        Self {
            interval: Duration::from_mins(10),
            start: Start::Retained,
            jobs: NonZeroUsize::MIN,
            reread: Lookback::default_schedule(),
            retry: RetryPolicy::default(),
            passes: NonZeroUsize::MIN.saturating_add(15),
            site_rate: 20,
            account_rate: 50,
        }
    }
}

/// Where the first pass over a site begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record that the site still has.
    Retained,
    /// At this time.
    At(When),
}

impl Collect {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        let default = Self::default();
        let about = "the time between two passes over a site";
        let interval = table.text("interval", about, Text::duration);
        let about = "where the first pass begins: \"retained\", a time, or an age";
        let start = table.text("start", about, Start::read);
        let about = "how many windows of the log are read at the same time";
        let jobs = table.number::<usize>("jobs", about, 1..=MOST_JOBS.into());
        let about = "how many sites a daemon reads at the same time";
        let passes = table.number::<usize>("passes", about, 1..=MOST_PASSES);
        let about = "the most requests a second that a daemon makes to a site in the long run";
        let site_rate = table.number("site_rate", about, 1..=MOST_REQUESTS);
        let about = "the same for all sites that share an account or app";
        let account_rate = table.number("account_rate", about, 1..=MOST_REQUESTS);
        let about = "what is read again, and how often, because records can arrive late";
        let reread = table.tables("reread", about, lookback);
        let about = "the wait before a failed request is made again; it doubles";
        let base = table.text("retry_base", about, Text::duration);
        let about = "the most that one request waits in all";
        let budget = table.text("retry_budget", about, Text::duration);
        Self {
            interval: interval.unwrap_or(default.interval),
            start: start.unwrap_or(default.start),
            jobs: jobs.and_then(NonZeroUsize::new).unwrap_or(default.jobs),
            reread: if table.has("reread") {
                reread
            } else {
                default.reread
            },
            retry: RetryPolicy {
                base: base.unwrap_or(default.retry.base),
                budget: budget.unwrap_or(default.retry.budget),
                ..default.retry
            },
            passes: passes.and_then(NonZeroUsize::new).unwrap_or(default.passes),
            site_rate: site_rate.unwrap_or(default.site_rate),
            account_rate: account_rate.unwrap_or(default.account_rate),
        }
    }
}

impl Start {
    fn read(text: &Text<'_>) -> Result<Self, Mistake> {
        if text.value == "retained" {
            return Ok(Self::Retained);
        }
        When::parse(text.value).map(Self::At).map_err(|error| {
            let remedy = "Or write \"retained\", for everything that the site still has.";
            text.mistake(error.to_string(), remedy)
        })
    }
}

/// A step of `reread`.
fn lookback(table: &mut Table<'_>) -> Option<Lookback> {
    let about = "how far back, such as \"24h\"";
    let span = table.required("span", about, Text::duration);
    let about = "how often; on each pass without it";
    let every = table.text("every", about, Text::duration);
    Some(Lookback::new(span?, every.unwrap_or_default()))
}
