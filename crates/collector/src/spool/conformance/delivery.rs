//! What waits for outputs, and what has been delivered.

use super::{Store, commit, committed, confirmed, line, lines, record, registered, site, waiting};
use crate::output::OutputName;
use crate::spool::Depth;
use crate::{ErrorKind, SiteId};

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
        let pending = pending.expect("pending");
        (pending.records.len(), pending.is_cut)
    };
    let all = order.len();
    assert_eq!(got(2, usize::MAX).await, (2, true));
    assert_eq!(got(all, usize::MAX).await, (all, false));
    assert_eq!(got(9, 2 * size).await, (2, true));
    assert_eq!(got(9, 2 * size - 1).await, (1, true));
    assert_eq!(got(9, 0).await, (1, true));
    assert_eq!(got(9, all * size).await, (all, false));
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

/// A record goes when the last registered output has it.
pub async fn what_every_output_has_is_gone(store: &dyn Store) {
    let spool = store.open().await;
    let fast = registered(&*spool, "fast").await;
    let slow = registered(&*spool, "slow").await;
    let many = (1..=9).map(|n| record(i64::from(n), n, 1)).collect();
    committed(&*spool, 20, many).await;
    let all = waiting(&*spool, &fast).await;
    let depth = async || {
        let depth = spool.depth().await.expect("a depth");
        assert_eq!(depth.bytes, depth.records * line(1).len() as u64);
        depth.records
    };

    confirmed(&*spool, &fast, all[8].0).await;
    assert_eq!(depth().await, 9, "the slow one has nothing yet");
    for has in [1, 2, 5] {
        confirmed(&*spool, &slow, all[has - 1].0).await;
        assert_eq!(depth().await, 9 - has as u64);
        assert_eq!(waiting(&*spool, &slow).await, all[has..]);
        let late = registered(&*spool, "late").await;
        assert_eq!(waiting(&*spool, &late).await, all[has..]);
        spool
            .retain(&[fast.clone(), slow.clone()])
            .await
            .expect("the late one is forgotten");
    }
    confirmed(&*spool, &slow, all[8].0).await;
    assert_eq!(spool.depth().await.expect("a depth"), Depth::default());
}

/// What only a forgotten output lacks goes with it.
pub async fn a_forgotten_output_holds_nothing_back(store: &dyn Store) {
    let spool = store.open().await;
    let fast = registered(&*spool, "fast").await;
    let slow = registered(&*spool, "slow").await;
    committed(&*spool, 20, vec![record(10, 1, 1), record(20, 2, 1)]).await;
    let all = waiting(&*spool, &fast).await;
    let records = async || spool.depth().await.expect("a depth").records;
    let strange = [
        fast.clone(),
        slow.clone(),
        OutputName::new("not registered"),
    ];

    confirmed(&*spool, &fast, all[1].0).await;
    spool.retain(&strange).await.expect("nothing is forgotten");
    assert_eq!(records().await, 2, "the slow one has nothing yet");
    spool.retain(&[fast]).await.expect("the slow one goes");
    assert_eq!(spool.depth().await.expect("a depth"), Depth::default());
    let forgotten = spool.pending(&slow, 9, 9).await;
    assert_eq!(
        forgotten.expect_err("forgotten").kind(),
        ErrorKind::Internal
    );

    committed(&*spool, 30, vec![record(30, 3, 1)]).await;
    spool.retain(&[]).await.expect("all are forgotten");
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
    registered(&*spool, "slow").await;
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
    assert_eq!(asked.len(), 2, "asking makes nobody known");
}

/// A number that was swept away does not come back: an output that is past it would miss it.
pub async fn numbers_are_not_used_again(store: &dyn Store) {
    let spool = store.open().await;
    let output = registered(&*spool, "file").await;
    committed(&*spool, 10, vec![record(10, 1, 1)]).await;
    let first = waiting(&*spool, &output).await[0].0;
    confirmed(&*spool, &output, first).await;
    drop(spool);
    let spool = store.open().await;
    committed(&*spool, 20, vec![record(20, 2, 1)]).await;
    let next = waiting(&*spool, &output).await;
    assert_eq!(next.len(), 1);
    assert!(next[0].0 > first);
}
