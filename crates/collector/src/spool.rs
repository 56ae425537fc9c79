//! The durable queue between reading and delivery: one transaction holds records, dedup counts and
//! watermark.
//!
//! A pass asks for a [site's state](Spool::site) and the [counts](Spool::counts) of what it may
//! read again, and ends in one [`commit`](Spool::commit). Delivery takes what is
//! [`pending`](Spool::pending) for an output and [confirms](Spool::confirm) it; what every output
//! has confirmed is gone.

#[cfg(any(test, feature = "test-support"))]
pub mod conformance;
mod sqlite;

use async_trait::async_trait;
use bytes::Bytes;
use confluence_audit_core::read::{Counts, NewRecord};
use confluence_audit_core::{Fingerprint, Timestamp};

use crate::output::OutputName;
use crate::{Result, SiteId};

pub use sqlite::{Recovered, Recovery, SqliteSpool};

/// How far the reading of a site has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteState {
    /// Everything up to and including this instant has been read; `None` before the first commit.
    pub watermark: Option<Timestamp>,
    /// From this instant on all that was committed is counted: nothing older can be told from what
    /// is new. `None` before the first commit.
    pub counted_from: Option<Timestamp>,
    /// When each step that reads again was last done, by the name of the step (`24h`).
    pub rereads: Vec<(String, Timestamp)>,
    /// The most records that a page of the site has held, since that was last looked at.
    pub largest_page: Option<usize>,
}

/// What one pass, or one finished slice of it, has found out.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Where what was read begins. A site's counts begin there with its first commit.
    pub from: Timestamp,
    /// The new records, in the order in which outputs shall have them.
    pub records: Vec<NewRecord>,
    /// Everything up to and including this instant has been read.
    pub watermark: Timestamp,
    /// Counts of records older than this are forgotten. It must not be later than the earliest
    /// instant that will ever be read again, or that is emitted again then.
    pub forget_before: Timestamp,
    /// The steps of reading again that this commit completes, and when.
    pub rereads: Vec<(String, Timestamp)>,
    /// The most records that a page of the site has held, where it is told anew.
    pub largest_page: Option<usize>,
}

/// How far an output has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputState {
    /// The last record that it confirmed; 0 before the first.
    pub seq: i64,
    /// What it gave with its last confirmation.
    pub checkpoint: Option<Vec<u8>>,
}

/// A record that waits for outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spooled {
    /// Its place in the order of delivery. Never used again, not even when the record is gone.
    pub seq: i64,
    /// The site that it is from.
    pub site: SiteId,
    /// When the site says that it happened.
    pub time: Timestamp,
    /// What identifies its content.
    pub fingerprint: Fingerprint,
    /// Which of the copies with this time and fingerprint it is.
    pub ordinal: u32,
    /// The record as compact JSON, without a newline.
    pub line: Bytes,
}

/// How much is waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Records that some output has not confirmed.
    pub records: u64,
    /// The bytes of their lines.
    pub bytes: u64,
}

/// All that an operator may want to see of a spool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The version of the layout in which it is kept.
    pub schema_version: u32,
    /// The space that it takes, in bytes.
    pub size: u64,
    /// What waits, all outputs together.
    pub depth: Depth,
    /// Each site that was ever committed, by id.
    pub sites: Vec<SiteOverview>,
    /// Each output that is known, by name.
    pub outputs: Vec<OutputOverview>,
}

/// What is kept of one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteOverview {
    /// Which one.
    pub id: SiteId,
    /// The addresses at which it was found.
    pub addresses: Vec<String>,
    /// How far its reading has come.
    pub state: SiteState,
    /// How many counts are remembered.
    pub counts: u64,
}

/// How far one output has come, and how far it has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputOverview {
    /// Which one.
    pub name: OutputName,
    /// The last record that it confirmed; 0 before the first.
    pub seq: i64,
    /// What it still has to get.
    pub waiting: Depth,
}

/// What an output has to deliver next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// In order.
    pub records: Vec<Spooled>,
    /// More wait behind them.
    pub is_cut: bool,
}

/// The one transaction between reading and delivering.
///
/// Every method is atomic and durable when it returns: after a failure, or when its future is
/// dropped, all or nothing of it has happened, and asking shows which. The suite in
/// `spool::conformance` (feature `test-support`) says all of it in tests, and every implementation
/// passes it.
///
/// # Errors
///
/// Of every method: [`Io`](crate::ErrorKind::Io) when the store cannot be read or written,
/// [`State`](crate::ErrorKind::State) when it is damaged, and
/// [`Internal`](crate::ErrorKind::Internal) when the caller breaks a rule named at the method.
#[async_trait]
pub trait Spool: Send + Sync {
    /// How far the reading of `site` has come; the default for one never committed.
    async fn site(&self, site: &SiteId) -> Result<SiteState>;

    /// What has been committed of `site` from `from` to `to`, both included, as far as it has not
    /// been forgotten.
    async fn counts(&self, site: &SiteId, from: Timestamp, to: Timestamp) -> Result<Counts>;

    /// Commits records, their counts and the watermark in one transaction.
    ///
    /// The watermark never moves back: an earlier one leaves it where it is. A record whose ordinal
    /// is not the next one that the counts allow was compared with something else than this
    /// spool; nothing of such a commit is kept.
    async fn commit(&self, site: &SiteId, commit: Commit) -> Result<()>;

    /// The state of `output`, which becomes known if it was not. A new one gets everything that is
    /// still spooled.
    async fn register(&self, output: &OutputName) -> Result<OutputState>;

    /// The records that a registered `output` has to deliver next, in order: at most `max_records`,
    /// and no more than `max_bytes` of lines, but always at least one if there is one. And whether
    /// more wait behind them.
    async fn pending(
        &self,
        output: &OutputName,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Pending>;

    /// Notes that a registered `output` has everything up to and including `seq`, with its
    /// checkpoint, and deletes what every registered output has, in one transaction. The same
    /// `seq` again renews the checkpoint alone; an earlier one, or one not spooled yet, is refused.
    ///
    /// So every output has to be registered before one of them confirms.
    async fn confirm(&self, output: &OutputName, seq: i64, checkpoint: &[u8]) -> Result<()>;

    /// Forgets all outputs but these, and deletes what those that are left have all confirmed.
    /// Without outputs, or while one of them is not registered, nothing is deleted.
    async fn retain(&self, outputs: &[OutputName]) -> Result<()>;

    /// How much is waiting.
    async fn depth(&self) -> Result<Depth>;

    /// How much of `site`, or of all sites, `output` still has to get. One that is not registered
    /// would get everything that is still spooled.
    async fn waiting(&self, output: &OutputName, site: Option<&SiteId>) -> Result<Depth>;

    /// The site that was last [noted](Self::set_site_at) for this address, so that it need not be
    /// looked up there, which may be out of reach.
    async fn site_at(&self, address: &str) -> Result<Option<SiteId>>;

    /// Notes the site that was found at this address; `None` forgets it. It may be one that was
    /// never committed.
    async fn set_site_at(&self, address: &str, site: Option<&SiteId>) -> Result<()>;

    /// Everything at one instant, for an operator to look at.
    async fn overview(&self) -> Result<Overview>;

    /// Has the next pass over `site`, which has been committed, read again from `to` on; an
    /// instant behind the watermark changes nothing. The state as it is then.
    ///
    /// What the counts know is not new when it is read again, and neither is what is spooled.
    /// Counts begin at `counted_from`; with an earlier `to` they begin there, and what lies
    /// between and has left the spool will be taken for new and delivered a second time.
    async fn rewind(&self, site: &SiteId, to: Timestamp) -> Result<SiteState>;

    /// Replaces all that is counted of `site` by `counts`, what is spooled included, and has the
    /// next pass read again from `from` on, or from where its reading ended if that is earlier;
    /// `None` is the site's first record. Counts from before then are left out. The state as it is
    /// then.
    async fn recount(
        &self,
        site: &SiteId,
        from: Option<Timestamp>,
        counts: Counts,
    ) -> Result<SiteState>;

    /// Looks through everything for what contradicts itself, without changing anything: each
    /// contradiction as a sentence, none when all is well, and no more than a hundred.
    async fn inspect(&self) -> Result<Vec<String>>;
}
