//! The fast mode: the same pages, only sooner.

use confluence_audit_sim::{NewRecords, Quirks, Sim, SimConfig, When};

use crate::client::{AUDIT, collect, get, header, sorted};

const T: i64 = 1_750_000_000_000;

fn sim(fast: bool, gzip: bool) -> Sim {
    Sim::start(SimConfig {
        fast,
        records: 1_000,
        oldest: Some(T - 100_000),
        newest: Some(T),
        now: Some(T + 1_000),
        hostile: 0.02,
        quirks: Quirks {
            gzip,
            ..Quirks::default()
        },
        ..SimConfig::default()
    })
    .unwrap()
}

async fn text(sim: &Sim, query: &str) -> String {
    let answer = get(sim, &format!("{AUDIT}?{query}")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap().replace(sim.url(), "")
}

#[tokio::test]
async fn a_page_put_together_from_pieces_is_the_page_to_the_byte() {
    let plain = sim(false, false);
    for gzip in [false, true] {
        let fast = sim(true, gzip);
        for query in [
            "limit=1000",
            "limit=64",
            "limit=1",
            "limit=63&start=1",
            "limit=64&start=40",
            "limit=129&start=935",
            "limit=1000&start=1000",
            "startDate=1749999950000&endDate=1749999980000",
            "startDate=1&endDate=2",
            "searchString=Page",
        ] {
            for _ in 0..2 {
                assert_eq!(
                    text(&fast, query).await,
                    text(&plain, query).await,
                    "{query}"
                );
            }
        }
    }
}

#[tokio::test]
async fn pieces_are_compressed_only_for_those_who_accept_it() {
    let fast = sim(true, true);
    let answer = get(&fast, AUDIT).header("Accept-Encoding", "identity");
    let answer = answer.send().await.unwrap();
    assert_eq!(header(&answer, "content-encoding"), None);
    assert!(answer.text().await.unwrap().starts_with(r#"{"results":["#));
}

#[tokio::test]
async fn what_arrives_in_a_fast_site_is_seen() {
    let fast = sim(true, true);
    let before = text(&fast, "limit=5").await;
    fast.insert(&NewRecords {
        count: 3,
        when: When::Now,
        ..NewRecords::default()
    });
    assert_ne!(text(&fast, "limit=5").await, before);
    assert_eq!(collect(&fast, "limit=300").await, sorted(fast.truth()));
}
