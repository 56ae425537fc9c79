//! What is committed is there, whole and once; and the way back.

use confluence_audit_core::Fingerprint;
use confluence_audit_core::read::Counts;

use super::{
    Store, at, commit, committed, confirmed, count, fingerprint, lines, record, registered, site,
    waiting,
};
use crate::spool::{Depth, SiteState};
use crate::{ErrorKind, SiteId};

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
        .expect("pending")
        .records;
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

/// Counts that are replaced hold from the given instant on, together with what is spooled, and the
/// next pass begins there; never later than where the reading ended.
pub async fn counting_anew_begins_where_it_is_told_and_knows_what_is_spooled(store: &dyn Store) {
    let spool = store.open().await;
    let output = registered(&*spool, "file").await;
    let old = vec![record(10, 1, 1), record(11, 1, 1), record(11, 1, 2)];
    committed(&*spool, 20, old).await;
    let first = waiting(&*spool, &output).await[0].0;
    confirmed(&*spool, &output, first).await;

    let counts = || Counts::from([((at(4), fingerprint(2)), 1), ((at(6), fingerprint(2)), 3)]);
    let state = spool.recount(&site(), Some(at(5)), counts()).await;
    let state = state.expect("counted");
    let begin = Some(at(5));
    assert_eq!((state.watermark, state.counted_from), (begin, begin));
    let expected = [(6, fingerprint(2), 3), (11, fingerprint(1), 2)];
    assert_eq!(count(&*spool, i64::MIN, 99).await, expected);
    assert_eq!(waiting(&*spool, &output).await.len(), 2);
    committed(&*spool, 21, vec![record(6, 2, 4)]).await;
    let problems = spool.inspect().await.expect("a look inside");
    assert_eq!(problems, Vec::<String>::new());

    let state = spool.recount(&site(), Some(at(50)), counts()).await;
    assert_eq!(state.expect("counted").watermark, Some(at(21)));

    let never = SiteId::new("never read");
    for from in [Some(at(3)), None] {
        let state = spool
            .recount(&never, from, counts())
            .await
            .expect("counted");
        assert_eq!((state.watermark, state.counted_from), (from, from));
        let counted = spool.counts(&never, at(i64::MIN), at(99)).await;
        assert_eq!(counted.expect("counts"), counts());
    }
}
