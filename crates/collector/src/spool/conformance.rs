//! What every spool has to hold to, as tests: an implementation runs each of these functions on a
//! fresh, empty store.
//!
//! ```no_run
//! use async_trait::async_trait;
//! use confluence_audit_collector::spool::{Spool, SqliteSpool, conformance};
//!
//! struct Dir(std::path::PathBuf);
//!
//! #[async_trait]
//! impl conformance::Store for Dir {
//!     async fn open(&self) -> Box<dyn Spool> {
//!         Box::new(SqliteSpool::open(&self.0).unwrap())
//!     }
//! }
//!
//! # async fn run(dir: Dir) {
//! conformance::twins_are_counted(&dir).await;
//! # }
//! ```

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking, and says so by being one"
)]

mod commits;
mod delivery;
mod overview;

use async_trait::async_trait;
use bytes::Bytes;
use confluence_audit_core::{Fingerprint, RawRecord, Timestamp};

use super::{Commit, NewRecord, Spool};
use crate::SiteId;
use crate::output::OutputName;

pub use self::commits::{
    a_commit_is_there_whole, a_refused_commit_leaves_nothing,
    counting_anew_begins_where_it_is_told_and_knows_what_is_spooled, counts_include_both_ends,
    reopening_keeps_everything, rewinding_beyond_the_counts_knows_what_is_spooled,
    rewinding_keeps_counts_and_records, sites_are_kept_apart, the_watermark_never_moves_back,
    twins_are_counted, what_is_older_than_forget_before_is_forgotten,
};
pub use self::delivery::{
    a_confirmation_never_moves_back_nor_ahead, a_forgotten_output_holds_nothing_back,
    a_new_output_gets_what_is_still_spooled, numbers_are_not_used_again,
    outputs_have_positions_of_their_own, pending_is_in_order_and_bounded,
    what_an_output_waits_for_is_counted_by_site, what_every_output_has_is_gone,
};
pub use self::overview::{an_address_leads_to_its_site, the_overview_shows_what_is_there};

/// A store that can be opened again and again, as by one process after another.
#[async_trait]
pub trait Store: Sync {
    /// Opens it. What was opened before has been dropped.
    async fn open(&self) -> Box<dyn Spool>;
}

fn site() -> SiteId {
    SiteId::new("3fa85f64-5717-4562-b3fc-2c963f66afa6")
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn line(content: u8) -> Bytes {
    Bytes::from(format!(r#"{{"summary":"record {content}"}}"#))
}

fn fingerprint(content: u8) -> Fingerprint {
    let record = RawRecord::parse(line(content)).expect("it is JSON");
    record.fingerprint()
}

fn record(millis: i64, content: u8, ordinal: u32) -> NewRecord {
    NewRecord {
        time: at(millis),
        fingerprint: fingerprint(content),
        ordinal,
        line: line(content),
    }
}

/// A commit of these records that forgets nothing.
fn commit(watermark: i64, records: Vec<NewRecord>) -> Commit {
    Commit {
        largest_page: None,
        from: at(0),
        records,
        watermark: at(watermark),
        forget_before: at(i64::MIN),
        rereads: Vec::new(),
    }
}

async fn committed(spool: &dyn Spool, watermark: i64, records: Vec<NewRecord>) {
    spool
        .commit(&site(), commit(watermark, records))
        .await
        .expect("a commit by the rules");
}

async fn registered(spool: &dyn Spool, name: &str) -> OutputName {
    let output = OutputName::new(name);
    spool.register(&output).await.expect("an output");
    output
}

async fn confirmed(spool: &dyn Spool, output: &OutputName, seq: i64) {
    spool
        .confirm(output, seq, b"cp")
        .await
        .expect("a confirmation by the rules");
}

async fn noted(spool: &dyn Spool, address: &str, site: Option<&SiteId>) {
    let noted = spool.set_site_at(address, site).await;
    noted.expect("an address");
}

/// The numbers and lines that wait for `output`.
async fn waiting(spool: &dyn Spool, output: &OutputName) -> Vec<(i64, Bytes)> {
    let pending = spool.pending(output, usize::MAX, usize::MAX).await;
    let pending = pending.expect("what is pending");
    assert!(!pending.is_cut, "there was no limit");
    let records = pending.records.into_iter();
    records.map(|record| (record.seq, record.line)).collect()
}

async fn lines(spool: &dyn Spool, output: &OutputName) -> Vec<Bytes> {
    let waiting = waiting(spool, output).await;
    waiting.into_iter().map(|(_, line)| line).collect()
}

async fn count(spool: &dyn Spool, from: i64, to: i64) -> Vec<(i64, Fingerprint, u32)> {
    let counts = spool
        .counts(&site(), at(from), at(to))
        .await
        .expect("counts");
    counts
        .into_iter()
        .map(|((time, fingerprint), n)| (time.as_millis(), fingerprint, n))
        .collect()
}
