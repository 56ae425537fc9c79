//! The walk from page to page: by the link's query on our own origin, once each, and no further
//! than asked.

use std::task::{Context, Poll, Waker};

use confluence_audit_core::{
    AuditClient, AuditQuery, Error, ErrorKind, Page, Pager, Position, RawRecord, SinceQuery,
    SiteAddress, TimeUnit, Timestamp,
};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use wiremock::{Request, ResponseTemplate};

use crate::clock::NOW;
use crate::fixture::Fixture;
use crate::site::{AUDIT, BASIC, Site, assert_get, header};

const QUERY: &str = "startDate=1767225600000&endDate=1767263400000";

async fn all(pages: Pager) -> Vec<Page> {
    pages.try_collect().await.unwrap()
}

fn lines(pages: &[Page]) -> Vec<String> {
    let records = pages.iter().flat_map(|page| &page.records);
    records.map(|record| record.as_str().to_owned()).collect()
}

/// The lines of a fixture's records, read without the pager.
fn lines_of(fixture: &str) -> Vec<String> {
    lines(&[Page::parse(&Fixture::read(fixture).body, None).unwrap()])
}

#[tokio::test]
async fn two_pages_are_the_same_log_as_one() {
    let site = Site::serving(["audit/first-page", "audit/last-page"]).await;
    let pages = all(site.client().pages(&AuditQuery::new().limit(3))).await;
    assert_eq!(lines(&pages), lines_of("audit/single-page"));
    assert_eq!(
        site.targets().await,
        [
            format!("GET {AUDIT}?limit=3"),
            format!("GET {AUDIT}?{QUERY}&start=3&limit=3"),
        ]
    );
}

#[tokio::test]
async fn a_link_in_any_form_is_followed_on_our_own_origin_with_the_same_headers() {
    for first in [
        "audit/first-page",
        "audit/next-under-wiki",
        "audit/next-absolute",
        "audit/next-elsewhere",
    ] {
        let site = Site::serving([first, "audit/last-page"]).await;
        let pages = all(site.client().pages(&AuditQuery::new())).await;
        assert_eq!(pages.len(), 2, "{first}");
        let second = format!("{AUDIT}?{QUERY}&start=3&limit=3");
        assert_get(&site.requests().await[1], &second, Some(BASIC));
    }
}

#[tokio::test]
async fn another_host_in_a_link_is_never_contacted_even_where_one_listens() {
    let elsewhere = Site::start().await;
    for link in [
        format!("{}{AUDIT}?start=3&limit=3", elsewhere.origin()),
        format!(
            "//{}/x?start=3&limit=3",
            elsewhere.origin().to_string().replace("http://", "")
        ),
        format!("{}/?start=3&limit=3#fragment", elsewhere.origin()),
    ] {
        let site = Site::start().await;
        let first = json!({"results": [1], "limit": 1, "_links": {"next": link}});
        let first = ResponseTemplate::new(200).set_body_json(first);
        site.responds("GET", AUDIT, 1, first).await;
        site.answers("GET", AUDIT, ["audit/last-page"]).await;
        all(site.client().pages(&AuditQuery::new())).await;
        assert_eq!(
            site.targets().await[1],
            format!("GET {AUDIT}?start=3&limit=3")
        );
    }
    assert!(elsewhere.requests().await.is_empty());
}

#[tokio::test]
async fn a_link_that_is_an_object_is_followed_too() {
    let site = Site::start().await;
    let link = json!({"href": "/rest/api/audit?start=1&limit=1"});
    let first = json!({"results": [1], "limit": 1, "_links": {"next": link}});
    site.responds(
        "GET",
        AUDIT,
        1,
        ResponseTemplate::new(200).set_body_json(first),
    )
    .await;
    site.answers("GET", AUDIT, ["audit/last-page"]).await;
    assert_eq!(all(site.client().pages(&AuditQuery::new())).await.len(), 2);
    assert_eq!(
        site.targets().await[1],
        format!("GET {AUDIT}?start=1&limit=1")
    );
}

#[tokio::test]
async fn the_directly_reached_log_is_paged_on_its_own_path() {
    const DIRECT: &str = "/wiki/rest/api/audit";
    let site = Site::start().await;
    site.answers("GET", DIRECT, ["audit/first-page", "audit/last-page"])
        .await;
    let address = SiteAddress::direct(site.origin());
    let client = AuditClient::new(site.http.clone(), address, site.api_token());
    all(client.pages(&AuditQuery::new())).await;
    assert_eq!(
        site.targets().await[1],
        format!("GET {DIRECT}?{QUERY}&start=3&limit=3")
    );
}

#[tokio::test]
async fn a_span_back_from_now_is_paged_on_its_own_endpoint() {
    let site = Site::start().await;
    let at = format!("{AUDIT}/since");
    site.answers("GET", &at, ["since/next", "since/empty"])
        .await;
    let query = SinceQuery::new(3, TimeUnit::Months).limit(3);
    let pages = all(site.client().pages_since(&query)).await;
    assert_eq!(pages.len(), 2);
    assert_eq!(
        site.targets().await,
        [
            format!("GET {at}?number=3&units=MONTHS&limit=3"),
            format!("GET {at}?number=3&units=MONTHS&start=3&limit=3"),
        ]
    );
}

#[tokio::test]
async fn a_page_that_is_shorter_than_its_limit_and_has_no_link_is_the_last() {
    for fixture in ["audit/single-page", "audit/empty-log", "audit/size-zero"] {
        let site = Site::serving([fixture]).await;
        let pages = all(site.client().pages(&AuditQuery::new())).await;
        assert_eq!(lines(&pages), lines_of(fixture));
        assert!(pages[0].is_last(), "{fixture}");
    }
}

/// A page of `count` records that has no link.
fn unlinked(limit: impl Into<Value>, count: usize) -> ResponseTemplate {
    let page = json!({"results": vec![json!({"creationDate": 1}); count], "limit": limit.into()});
    ResponseTemplate::new(200).set_body_json(page)
}

#[tokio::test]
async fn a_full_page_without_a_link_is_followed_by_what_was_really_read() {
    // Asked for 1000, given 2 at a time: the service caps the limit.
    let site = Site::start().await;
    site.responds("GET", AUDIT, 1, unlinked(2, 2)).await;
    site.responds("GET", AUDIT, 1, unlinked(2, 2)).await;
    site.responds("GET", AUDIT, 1, unlinked(2, 1)).await;
    let query = AuditQuery::new()
        .since(Timestamp::from_millis(5))
        .limit(1000);
    let pages = all(site.client().pages(&query)).await;
    assert_eq!(lines(&pages).len(), 5);
    let asked = format!("GET {AUDIT}?startDate=5&limit=1000");
    assert_eq!(
        site.targets().await,
        [
            asked.clone(),
            format!("{asked}&start=2"),
            format!("{asked}&start=4")
        ]
    );
}

#[tokio::test]
async fn without_a_limit_in_the_answer_the_walk_goes_on_until_nothing_comes() {
    let site = Site::start().await;
    site.responds("GET", AUDIT, 1, unlinked(Value::Null, 1))
        .await;
    site.responds("GET", AUDIT, 1, unlinked(Value::Null, 0))
        .await;
    let pages = all(site.client().pages(&AuditQuery::new().start(7))).await;
    assert_eq!(lines(&pages).len(), 1);
    assert_eq!(
        site.targets().await,
        [
            format!("GET {AUDIT}?start=7"),
            format!("GET {AUDIT}?start=8")
        ]
    );
}

#[tokio::test]
async fn a_capped_limit_neither_ends_the_walk_nor_leaves_a_gap() {
    let site = Site::serving(["audit/limit-capped", "audit/last-page"]).await;
    let pages = all(site.client().pages(&AuditQuery::new().limit(1000))).await;
    assert_eq!(pages[0].records.len(), 25);
    assert_eq!(pages[0].limit, Some(25));
    assert_eq!(
        site.targets().await[1],
        format!("GET {AUDIT}?{QUERY}&start=25&limit=25")
    );
}

#[tokio::test]
async fn a_size_that_lies_neither_ends_the_walk_nor_prolongs_it() {
    let site = Site::serving(["audit/size-is-total", "audit/last-page"]).await;
    let pages = all(site.client().pages(&AuditQuery::new())).await;
    assert_eq!(lines(&pages).len(), 5);
    assert_eq!(pages[0].size, Some(26));
}

#[tokio::test]
async fn an_empty_page_with_a_link_is_not_the_end() {
    let site = Site::serving([
        "audit/first-page",
        "audit/empty-page-with-next",
        "audit/last-page",
    ])
    .await;
    let pages = all(site.client().pages(&AuditQuery::new())).await;
    assert_eq!(lines(&pages), lines_of("audit/single-page"));
    assert_eq!(
        site.targets().await[2],
        format!("GET {AUDIT}?{QUERY}&start=6&limit=3")
    );
}

/// Answers with a link to one of `length` pages, round and round.
fn circle(length: u64) -> impl Fn(&Request) -> ResponseTemplate {
    move |request| {
        let mut query = request.url.query_pairs();
        let start = query.find(|(name, _)| name == "start");
        let start: u64 = start.map_or(0, |(_, start)| start.parse().unwrap());
        let link = format!("/rest/api/audit?start={}", (start + 1) % length);
        let page =
            json!({"results": [{"creationDate": start}], "limit": 1, "_links": {"next": link}});
        ResponseTemplate::new(200).set_body_json(page)
    }
}

#[tokio::test]
async fn a_link_that_leads_back_ends_the_walk_with_an_error_behind_the_pages_that_were_good() {
    for length in [1, 2, 5, 40] {
        let site = Site::start().await;
        site.always(AUDIT, circle(length)).await;
        let mut pages = site.client().pages(&AuditQuery::new());
        let mut good = 0;
        let error = loop {
            assert!(good <= 4 * length, "a circle of {length} was not found");
            match pages.next().await.unwrap() {
                Ok(_) => good += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Paging, "{length}");
        assert!(!error.is_transient() && !error.is_credentials());
        assert!(good > length, "{length}: {good}");
        assert!(pages.next().await.is_none());
        assert_eq!(site.http.stats().requests, good);
    }
}

#[tokio::test]
async fn a_walk_that_was_led_back_reads_no_page_again_when_it_goes_on() {
    let site = Site::start().await;
    let page = json!({"results": [1], "limit": 1, "_links": {"next": "?start=1"}});
    let page = ResponseTemplate::new(200).set_body_json(page);
    site.responds("GET", AUDIT, 2, page).await;
    let mut pages = site.client().pages(&AuditQuery::new());
    pages.next().await.unwrap().unwrap();
    let second = pages.position().cloned();
    pages.next().await.unwrap().unwrap();
    let behind = pages.position().cloned();
    assert_ne!(behind, second);
    pages.next().await.unwrap().unwrap_err();
    assert_eq!(pages.position().cloned(), behind);
    let mut pages = site.client().resume(behind.unwrap());
    let error = pages.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Paging);
    assert!(pages.next().await.is_none());
}

#[tokio::test]
async fn an_offset_at_the_end_of_its_range_ends_the_walk_and_does_not_panic() {
    let site = Site::start().await;
    let ok = |page: Value| ResponseTemplate::new(200).set_body_json(page);
    let far = json!({"results": [1], "_links": {"next": "?start=18446744073709551615"}});
    site.responds("GET", AUDIT, 1, ok(far)).await;
    let full = json!({"results": [1]});
    site.responds("GET", AUDIT, 1, ok(full)).await;
    let mut pages = site.client().pages(&AuditQuery::new());
    pages.next().await.unwrap().unwrap();
    pages.next().await.unwrap().unwrap();
    let error = pages.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Paging);
}

/// Polls once, without waiting.
fn poll(pages: &mut Pager) -> Poll<Option<Result<Page, Error>>> {
    let mut context = Context::from_waker(Waker::noop());
    std::pin::Pin::new(pages).poll_next(&mut context)
}

#[tokio::test]
async fn nothing_is_asked_before_the_walk_is_polled_and_nothing_ahead_of_it() {
    let site = Site::serving(["audit/first-page"]).await;
    let mut pages = site.client().pages(&AuditQuery::new());
    tokio::task::yield_now().await;
    assert!(site.requests().await.is_empty());
    assert_eq!(site.http.stats().requests, 0);
    pages.next().await.unwrap().unwrap();
    tokio::task::yield_now().await;
    assert_eq!(site.requests().await.len(), 1);
    assert_eq!(site.http.stats().requests, 1);
}

#[tokio::test]
async fn an_unfinished_walk_asks_for_a_page_once_however_often_it_is_polled() {
    let site = Site::serving(["audit/single-page"]).await;
    let mut pages = site.client().pages(&AuditQuery::new());
    assert!(poll(&mut pages).is_pending());
    assert!(poll(&mut pages).is_pending());
    pages.next().await.unwrap().unwrap();
    assert!(pages.next().await.is_none());
    assert!(pages.next().await.is_none());
}

#[tokio::test]
async fn an_error_ends_the_walk_and_its_position_is_the_page_that_failed() {
    let site = Site::serving([
        "audit/first-page",
        "errors/403-not-permitted",
        "audit/last-page",
    ])
    .await;
    let client = site.client();
    let mut pages = client.pages(&AuditQuery::new());
    pages.next().await.unwrap().unwrap();
    let error = pages.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPermitted);
    assert!(pages.next().await.is_none());
    assert!(pages.next().await.is_none());
    assert_eq!(site.requests().await.len(), 2);

    let rest = all(client.resume(pages.position().unwrap().clone())).await;
    assert_eq!(lines(&rest), lines_of("audit/last-page"));
    let targets = site.targets().await;
    assert_eq!(targets[2], targets[1]);
}

#[tokio::test]
async fn a_position_that_was_written_down_goes_on_behind_the_page_in_another_process() {
    let site = Site::serving(["audit/first-page", "audit/last-page"]).await;
    let mut pages = site.client().pages(&AuditQuery::new().until(NOW).limit(3));
    pages.next().await.unwrap().unwrap();
    let written = serde_json::to_string(pages.position().unwrap()).unwrap();
    drop(pages);
    let read: Position = serde_json::from_str(&written).unwrap();
    let mut pages = site.client().resume(read);
    let page = pages.next().await.unwrap().unwrap();
    assert_eq!(lines(&[page]), lines_of("audit/last-page"));
    assert!(pages.position().is_none());
    assert!(pages.next().await.is_none());
}

#[tokio::test]
async fn a_position_holds_no_secret_and_no_host() {
    let site = Site::serving(["audit/next-elsewhere"]).await;
    let mut pages = site.client().pages(&AuditQuery::new());
    pages.next().await.unwrap().unwrap();
    let written = serde_json::to_string(pages.position().unwrap()).unwrap();
    assert!(
        !written.contains("example.com") && !written.contains("http"),
        "{written}"
    );
    let credential = header(&site.request().await, "authorization").to_owned();
    assert!(!written.contains(&credential), "{written}");
}

#[tokio::test]
async fn the_records_are_those_of_the_pages_in_their_order() {
    let site = Site::serving([
        "audit/first-page",
        "audit/empty-page-with-next",
        "audit/last-page",
    ])
    .await;
    let records = site.client().pages(&AuditQuery::new()).records();
    let records: Vec<_> = records.try_collect().await.unwrap();
    let got: Vec<_> = records.iter().map(RawRecord::as_str).collect();
    assert_eq!(got, lines_of("audit/single-page"));
}

#[tokio::test]
async fn the_records_before_an_error_are_handed_out_first_and_nothing_follows_it() {
    let site = Site::serving(["audit/first-page", "errors/403-not-permitted"]).await;
    let mut records = std::pin::pin!(site.client().pages(&AuditQuery::new()).records());
    for line in lines_of("audit/first-page") {
        assert_eq!(records.next().await.unwrap().unwrap().as_str(), line);
    }
    assert!(records.next().await.unwrap().is_err());
    assert!(records.next().await.is_none());
}
