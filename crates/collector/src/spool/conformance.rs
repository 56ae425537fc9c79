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

use async_trait::async_trait;
use bytes::Bytes;
use confluence_audit_core::{Fingerprint, RawRecord, Timestamp};

use super::{Commit, Depth, NewRecord, OutputOverview, SiteOverview, SiteState, Spool};
use crate::output::OutputName;
use crate::{ErrorKind, SiteId};

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
    Bytes::from(format!(r#"{{"summary":"record","n":{content}}}"#))
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
    pending
        .into_iter()
        .map(|record| (record.seq, record.line))
        .collect()
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

/// Records, counts, watermark and steps of one commit are all there when it returns.
pub async fn a_commit_is_there_whole(store: &dyn Store) {
    let spool = store.open().await;
    assert_eq!(
        spool.site(&site()).await.expect("a state"),
        SiteState::default()
    );
    let output = registered(&*spool, "file").await;
    let mut first = commit(20, vec![record(10, 1, 1), record(20, 2, 1)]);
    first.rereads = vec![("24h".to_owned(), at(100)), ("7d".to_owned(), at(90))];
    spool.commit(&site(), first).await.expect("a commit");
    let mut second = commit(30, Vec::new());
    second.rereads = vec![("24h".to_owned(), at(200))];
    spool.commit(&site(), second).await.expect("a commit");

    let state = spool.site(&site()).await.expect("a state");
    assert_eq!(state.watermark, Some(at(30)));
    let mut rereads = state.rereads;
    rereads.sort();
    assert_eq!(
        rereads,
        [("24h".to_owned(), at(200)), ("7d".to_owned(), at(90))]
    );
    let expected = [(10, fingerprint(1), 1), (20, fingerprint(2), 1)];
    assert_eq!(count(&*spool, 0, 99).await, expected);
    let pending = spool
        .pending(&output, 9, usize::MAX)
        .await
        .expect("pending");
    assert_eq!(pending.len(), 2);
    assert_eq!(pending[0].site, site());
    assert_eq!(pending[0].time, at(10));
    assert_eq!(pending[0].fingerprint, fingerprint(1));
    assert_eq!(pending[0].ordinal, 1);
    assert_eq!(pending[0].line, record(10, 1, 1).line);
    let bytes = pending.iter().map(|record| record.line.len() as u64).sum();
    assert_eq!(
        spool.depth().await.expect("a depth"),
        Depth { records: 2, bytes }
    );
}

/// A commit that contradicts the counts changes nothing, not even with its good part.
pub async fn a_refused_commit_leaves_nothing(store: &dyn Store) {
    let spool = store.open().await;
    let output = registered(&*spool, "file").await;
    committed(&*spool, 10, vec![record(10, 1, 1)]).await;
    let mut again = commit(50, vec![record(20, 2, 1), record(10, 1, 1)]);
    again.forget_before = at(99);
    again.rereads = vec![("24h".to_owned(), at(100))];
    let error = spool
        .commit(&site(), again)
        .await
        .expect_err("it is the second copy");
    assert_eq!(error.kind(), ErrorKind::Internal);

    let state = spool.site(&site()).await.expect("a state");
    assert_eq!(state.watermark, Some(at(10)));
    assert_eq!(state.rereads, []);
    assert_eq!(count(&*spool, 0, 99).await, [(10, fingerprint(1), 1)]);
    assert_eq!(lines(&*spool, &output).await, [record(10, 1, 1).line]);
}

/// Copies of one record in one millisecond are as many records, in one commit or over several.
pub async fn twins_are_counted(store: &dyn Store) {
    let spool = store.open().await;
    let output = registered(&*spool, "file").await;
    committed(
        &*spool,
        10,
        vec![record(10, 1, 1), record(10, 1, 2), record(10, 2, 1)],
    )
    .await;
    committed(&*spool, 11, vec![record(10, 1, 3), record(11, 1, 1)]).await;
    let mut expected = [
        (10, fingerprint(1), 3),
        (10, fingerprint(2), 1),
        (11, fingerprint(1), 1),
    ];
    expected.sort();
    assert_eq!(count(&*spool, 10, 11).await, expected);
    assert_eq!(waiting(&*spool, &output).await.len(), 5);
}

/// A commit of an earlier slice leaves the watermark where it is.
pub async fn the_watermark_never_moves_back(store: &dyn Store) {
    let spool = store.open().await;
    for (given, kept) in [(-5, -5), (10, 10), (5, 10), (10, 10), (11, 11)] {
        committed(&*spool, given, Vec::new()).await;
        let state = spool.site(&site()).await.expect("a state");
        assert_eq!(state.watermark, Some(at(kept)));
    }
}

/// One site's counts and watermark say nothing about another's.
pub async fn sites_are_kept_apart(store: &dyn Store) {
    let spool = store.open().await;
    let other = SiteId::new("other.atlassian.net");
    committed(&*spool, 10, vec![record(10, 1, 1)]).await;
    let same = commit(7, vec![record(10, 1, 1)]);
    spool.commit(&other, same).await.expect("the other's first");
    let watermark = |state: SiteState| state.watermark;
    assert_eq!(
        watermark(spool.site(&site()).await.expect("a state")),
        Some(at(10))
    );
    assert_eq!(
        watermark(spool.site(&other).await.expect("a state")),
        Some(at(7))
    );
    let mut forgetting = commit(7, Vec::new());
    forgetting.forget_before = at(99);
    spool.commit(&other, forgetting).await.expect("a commit");
    assert_eq!(count(&*spool, 0, 99).await.len(), 1);
}

/// Nothing is lost when one process ends and the next begins.
pub async fn reopening_keeps_everything(store: &dyn Store) {
    let spool = store.open().await;
    let output = registered(&*spool, "file").await;
    committed(&*spool, 20, vec![record(10, 1, 1), record(20, 2, 1)]).await;
    let seq = waiting(&*spool, &output).await[0].0;
    spool
        .confirm(&output, seq, b"\0checkpoint\xff")
        .await
        .expect("a confirmation");
    drop(spool);

    let spool = store.open().await;
    let state = spool.site(&site()).await.expect("a state");
    assert_eq!(state.watermark, Some(at(20)));
    assert_eq!(count(&*spool, 0, 99).await.len(), 2);
    let state = spool.register(&output).await.expect("the output is known");
    assert_eq!(state.seq, seq);
    assert_eq!(state.checkpoint.as_deref(), Some(&b"\0checkpoint\xff"[..]));
    assert_eq!(lines(&*spool, &output).await, [record(20, 2, 1).line]);
    drop(spool);

    let spool = store.open().await;
    let twin = commit(20, vec![record(20, 2, 2)]);
    spool
        .commit(&site(), twin)
        .await
        .expect("the count was kept");
}

/// Both ends of a span are in it.
pub async fn counts_include_both_ends(store: &dyn Store) {
    let spool = store.open().await;
    let times = [9, 10, 15, 20, 21];
    let records = times.map(|time| record(time, 1, 1)).to_vec();
    committed(&*spool, 21, records).await;
    let times = |counts: Vec<(i64, Fingerprint, u32)>| -> Vec<i64> {
        counts.into_iter().map(|(time, ..)| time).collect()
    };
    assert_eq!(times(count(&*spool, 10, 20).await), [10, 15, 20]);
    assert_eq!(times(count(&*spool, 15, 15).await), [15]);
    assert_eq!(times(count(&*spool, i64::MIN, i64::MAX).await).len(), 5);
    assert!(count(&*spool, 20, 10).await.is_empty());
}

/// Counts go when they are too old, that instant itself excluded; records stay.
pub async fn what_is_older_than_forget_before_is_forgotten(store: &dyn Store) {
    let spool = store.open().await;
    let output = registered(&*spool, "file").await;
    committed(&*spool, 11, vec![record(9, 1, 1), record(10, 1, 1)]).await;
    let mut forgetting = commit(12, vec![record(8, 1, 1), record(12, 1, 1)]);
    forgetting.forget_before = at(10);
    spool.commit(&site(), forgetting).await.expect("a commit");
    let expected = [(10, fingerprint(1), 1), (12, fingerprint(1), 1)];
    assert_eq!(count(&*spool, 0, 99).await, expected);
    assert_eq!(waiting(&*spool, &output).await.len(), 4);
}

/// An output gets records as they were committed, as many as it asks for and at least one.
pub async fn pending_is_in_order_and_bounded(store: &dyn Store) {
    let spool = store.open().await;
    let output = registered(&*spool, "file").await;
    assert!(waiting(&*spool, &output).await.is_empty());
    committed(&*spool, 30, vec![record(30, 1, 1), record(10, 2, 1)]).await;
    committed(&*spool, 30, vec![record(20, 3, 1)]).await;
    let all = waiting(&*spool, &output).await;
    assert!(all.is_sorted_by(|a, b| a.0 < b.0));
    let order = [
        record(30, 1, 1).line,
        record(10, 2, 1).line,
        record(20, 3, 1).line,
    ];
    assert_eq!(lines(&*spool, &output).await, order);

    let size = order[0].len();
    let got = async |records, bytes| {
        let pending = spool.pending(&output, records, bytes).await;
        pending.expect("pending").len()
    };
    assert_eq!(got(2, usize::MAX).await, 2);
    assert_eq!(got(9, 2 * size).await, 2);
    assert_eq!(got(9, 2 * size - 1).await, 1);
    assert_eq!(got(9, 0).await, 1);
    let unknown = spool.pending(&OutputName::new("unknown"), 9, 9).await;
    assert_eq!(
        unknown.expect_err("not registered").kind(),
        ErrorKind::Internal
    );
}

/// One output's confirmation moves nobody else.
pub async fn outputs_have_positions_of_their_own(store: &dyn Store) {
    let spool = store.open().await;
    let fast = registered(&*spool, "fast").await;
    let slow = registered(&*spool, "slow").await;
    committed(&*spool, 20, vec![record(10, 1, 1), record(20, 2, 1)]).await;
    let all = waiting(&*spool, &fast).await;
    confirmed(&*spool, &fast, all[1].0).await;
    assert_eq!(waiting(&*spool, &fast).await, []);
    assert_eq!(waiting(&*spool, &slow).await, all);
    confirmed(&*spool, &slow, all[0].0).await;
    assert_eq!(waiting(&*spool, &slow).await, all[1..]);
}

/// A new output begins with the oldest record that is still there, and without a checkpoint.
pub async fn a_new_output_gets_what_is_still_spooled(store: &dyn Store) {
    let spool = store.open().await;
    let old = registered(&*spool, "old").await;
    let records = vec![record(10, 1, 1), record(20, 2, 1), record(30, 3, 1)];
    committed(&*spool, 30, records).await;
    let all = waiting(&*spool, &old).await;
    confirmed(&*spool, &old, all[0].0).await;
    spool
        .sweep(std::slice::from_ref(&old))
        .await
        .expect("a sweep");
    let new = OutputName::new("new");
    let state = spool.register(&new).await.expect("an output");
    assert_eq!(state.checkpoint, None);
    assert_eq!(waiting(&*spool, &new).await, all[1..]);
}

/// The same number renews the checkpoint; an earlier one and one not spooled yet are refused.
pub async fn a_confirmation_never_moves_back_nor_ahead(store: &dyn Store) {
    let spool = store.open().await;
    let output = registered(&*spool, "file").await;
    spool
        .confirm(&output, 0, b"start")
        .await
        .expect("before the first record");
    committed(&*spool, 20, vec![record(10, 1, 1), record(20, 2, 1)]).await;
    let all = waiting(&*spool, &output).await;
    confirmed(&*spool, &output, all[1].0).await;
    spool
        .confirm(&output, all[1].0, b"moved")
        .await
        .expect("the same number");
    for wrong in [all[0].0, all[1].0 + 1] {
        let error = spool
            .confirm(&output, wrong, b"wrong")
            .await
            .expect_err("out of order");
        assert_eq!(error.kind(), ErrorKind::Internal);
    }
    let state = spool.register(&output).await.expect("its state");
    assert_eq!(
        (state.seq, state.checkpoint),
        (all[1].0, Some(b"moved".to_vec()))
    );
    let unknown = spool
        .confirm(&OutputName::new("unknown"), all[0].0, b"")
        .await;
    assert_eq!(
        unknown.expect_err("not registered").kind(),
        ErrorKind::Internal
    );
}

/// A record goes when the last output has it, an output when it is no longer named.
pub async fn sweeping_takes_what_every_output_has(store: &dyn Store) {
    let spool = store.open().await;
    let fast = registered(&*spool, "fast").await;
    let slow = registered(&*spool, "slow").await;
    committed(&*spool, 20, vec![record(10, 1, 1), record(20, 2, 1)]).await;
    let all = waiting(&*spool, &fast).await;
    let records = async || spool.depth().await.expect("a depth").records;
    let both = [fast.clone(), slow.clone()];
    let strange = [
        fast.clone(),
        slow.clone(),
        OutputName::new("not registered"),
    ];

    confirmed(&*spool, &fast, all[1].0).await;
    spool.sweep(&both).await.expect("a sweep");
    assert_eq!(records().await, 2, "the slow one has nothing yet");
    confirmed(&*spool, &slow, all[0].0).await;
    spool.sweep(&strange).await.expect("a sweep");
    assert_eq!(records().await, 2, "one output never asked for anything");
    spool.sweep(&both).await.expect("a sweep");
    assert_eq!(records().await, 1);
    assert_eq!(waiting(&*spool, &slow).await, all[1..]);
    spool.sweep(&[fast]).await.expect("a sweep");
    assert_eq!(spool.depth().await.expect("a depth"), Depth::default());
    let forgotten = spool.pending(&slow, 9, 9).await;
    assert_eq!(
        forgotten.expect_err("forgotten").kind(),
        ErrorKind::Internal
    );

    committed(&*spool, 30, vec![record(30, 3, 1)]).await;
    spool.sweep(&[]).await.expect("a sweep");
    assert_eq!(
        records().await,
        1,
        "without outputs nothing has arrived anywhere"
    );
}

/// What an output has to get is counted by site too, also for one that is not known yet.
pub async fn what_an_output_waits_for_is_counted_by_site(store: &dyn Store) {
    let spool = store.open().await;
    let output = registered(&*spool, "file").await;
    let other = SiteId::new("other.atlassian.net");
    committed(&*spool, 20, vec![record(10, 1, 1), record(20, 2, 1)]).await;
    let its = commit(7, vec![record(7, 3, 1)]);
    spool.commit(&other, its).await.expect("the other's first");
    let first = waiting(&*spool, &output).await[0].0;
    confirmed(&*spool, &output, first).await;
    let records = async |output: &OutputName, of: Option<&SiteId>| {
        let depth = spool.waiting(output, of).await.expect("a depth");
        assert_eq!(depth.bytes, depth.records * line(1).len() as u64);
        depth.records
    };
    let new = OutputName::new("new");
    assert_eq!(records(&output, None).await, 2);
    assert_eq!(records(&output, Some(&site())).await, 1);
    assert_eq!(records(&output, Some(&other)).await, 1);
    assert_eq!(records(&output, Some(&SiteId::new("unknown"))).await, 0);
    assert_eq!(records(&new, None).await, 3);
    let asked = spool.overview().await.expect("an overview").outputs;
    assert_eq!(asked.len(), 1, "asking makes nobody known");
}

/// The site at an address is known to the next process, until it is another one, or none.
pub async fn an_address_leads_to_its_site(store: &dyn Store) {
    let (here, there) = ("https://a.example", "https://b.example");
    let other = SiteId::new("other");
    let spool = store.open().await;
    let at = async |spool: &dyn Spool, address| spool.site_at(address).await.expect("an answer");
    assert_eq!(at(&*spool, here).await, None);
    noted(&*spool, here, Some(&site())).await;
    noted(&*spool, there, Some(&site())).await;
    assert_eq!(at(&*spool, here).await, Some(site()));
    noted(&*spool, here, Some(&other)).await;
    drop(spool);

    let spool = store.open().await;
    assert_eq!(at(&*spool, here).await, Some(other));
    assert_eq!(at(&*spool, there).await, Some(site()));
    noted(&*spool, here, None).await;
    noted(&*spool, here, None).await;
    assert_eq!(at(&*spool, here).await, None);
    assert_eq!(at(&*spool, there).await, Some(site()));
    let state = spool.site(&site()).await.expect("a state");
    assert_eq!(state, SiteState::default(), "nothing of it was read");
}

/// A number that was swept away does not come back: an output that is past it would miss it.
pub async fn numbers_are_not_used_again(store: &dyn Store) {
    let spool = store.open().await;
    let output = registered(&*spool, "file").await;
    committed(&*spool, 10, vec![record(10, 1, 1)]).await;
    let first = waiting(&*spool, &output).await[0].0;
    confirmed(&*spool, &output, first).await;
    spool
        .sweep(std::slice::from_ref(&output))
        .await
        .expect("a sweep");
    drop(spool);
    let spool = store.open().await;
    committed(&*spool, 20, vec![record(20, 2, 1)]).await;
    let next = waiting(&*spool, &output).await;
    assert_eq!(next.len(), 1);
    assert!(next[0].0 > first);
}

/// Sites, outputs, counts and what waits are all in the overview.
pub async fn the_overview_shows_what_is_there(store: &dyn Store) {
    let spool = store.open().await;
    let empty = spool.overview().await.expect("an overview");
    assert_eq!((empty.sites.len(), empty.outputs.len()), (0, 0));
    let fast = registered(&*spool, "fast").await;
    let slow = registered(&*spool, "slow").await;
    let records = vec![record(10, 1, 1), record(10, 1, 2), record(20, 2, 1)];
    committed(&*spool, 30, records).await;
    let other = SiteId::new("other.atlassian.net");
    let commit = commit(7, Vec::new());
    spool.commit(&other, commit).await.expect("a commit");
    let all = waiting(&*spool, &fast).await;
    confirmed(&*spool, &fast, all[1].0).await;
    noted(&*spool, "https://a.example", Some(&site())).await;

    let seen = spool.overview().await.expect("an overview");
    assert_eq!(seen.depth, spool.depth().await.expect("a depth"));
    assert!(seen.size > 0 && seen.schema_version > 0);
    let ids: Vec<&SiteId> = seen.sites.iter().map(|site| &site.id).collect();
    assert_eq!(ids, [&site(), &other]);
    let expected = SiteOverview {
        id: site(),
        addresses: vec!["https://a.example".to_owned()],
        state: spool.site(&site()).await.expect("a state"),
        counts: 2,
    };
    assert_eq!(seen.sites[0], expected);
    let output = |name: &OutputName, seq, records: &[(i64, Bytes)]| OutputOverview {
        name: name.clone(),
        seq,
        waiting: Depth {
            records: records.len() as u64,
            bytes: records.iter().map(|(_, line)| line.len() as u64).sum(),
        },
    };
    let expected = [
        output(&fast, all[1].0, &all[2..]),
        output(&slow, 0, &all[..]),
    ];
    assert_eq!(seen.outputs, expected);
    assert_eq!(
        spool.inspect().await.expect("a look inside"),
        Vec::<String>::new()
    );
}

/// The watermark moves back, the counts stay, and nothing that waits is touched.
pub async fn rewinding_keeps_counts_and_records(store: &dyn Store) {
    let spool = store.open().await;
    let output = registered(&*spool, "file").await;
    let mut first = commit(40, vec![record(10, 1, 1), record(30, 2, 1)]);
    first.from = at(5);
    spool.commit(&site(), first).await.expect("a commit");
    let state = spool.rewind(&site(), at(20)).await.expect("rewound");
    assert_eq!(state.watermark, Some(at(20)));
    assert_eq!(state.counted_from, Some(at(5)));
    assert_eq!(spool.site(&site()).await.expect("a state"), state);
    assert_eq!(count(&*spool, 0, 99).await.len(), 2);
    assert_eq!(waiting(&*spool, &output).await.len(), 2);
    let ahead = spool.rewind(&site(), at(35)).await.expect("no way ahead");
    assert_eq!(ahead, state);
    committed(&*spool, 50, vec![record(30, 2, 2)]).await;
    let state = spool.site(&site()).await.expect("a state");
    assert_eq!(state.watermark, Some(at(50)));
    let unknown = spool.rewind(&SiteId::new("unknown"), at(0)).await;
    assert_eq!(unknown.expect_err("unknown").kind(), ErrorKind::Internal);
}

/// Before the counts began only what is spooled is known; that is not forgotten.
pub async fn rewinding_beyond_the_counts_knows_what_is_spooled(store: &dyn Store) {
    let spool = store.open().await;
    let output = registered(&*spool, "file").await;
    let old = vec![record(10, 1, 1), record(11, 1, 1), record(11, 1, 2)];
    committed(&*spool, 20, old).await;
    let first = waiting(&*spool, &output).await[0].0;
    confirmed(&*spool, &output, first).await;
    spool
        .sweep(std::slice::from_ref(&output))
        .await
        .expect("a sweep");
    let mut forgetting = commit(40, vec![record(30, 2, 1)]);
    forgetting.forget_before = at(25);
    spool.commit(&site(), forgetting).await.expect("a commit");
    assert_eq!(count(&*spool, 0, 99).await.len(), 1);

    let state = spool.rewind(&site(), at(5)).await.expect("rewound");
    assert_eq!(
        (state.watermark, state.counted_from),
        (Some(at(5)), Some(at(5)))
    );
    let expected = [(11, fingerprint(1), 2), (30, fingerprint(2), 1)];
    assert_eq!(count(&*spool, 0, 99).await, expected);
    assert_eq!(
        spool.inspect().await.expect("a look inside"),
        Vec::<String>::new()
    );
}
