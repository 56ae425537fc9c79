//! What an operator sees, and where sites are found.

use bytes::Bytes;

use super::{Store, commit, committed, confirmed, noted, record, registered, site, waiting};
use crate::SiteId;
use crate::output::OutputName;
use crate::spool::{Depth, OutputOverview, SiteOverview, SiteState, Spool};

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
