//! Answers that are larger than an answer may be: pages shrink by themselves, down to one record.

use std::num::NonZeroUsize;
use std::sync::Arc;

use confluence_audit_core::read::{Reader, SiteLog, Window};
use confluence_audit_core::{AuditClient, Http, Timestamp};
use wiremock::{Request, ResponseTemplate};

use crate::site::{AUDIT, Site};

const NEWEST: i64 = 1_767_261_600_000;
const LIMIT: usize = 5_000;

/// The records of the window that is asked for, newest first, as the service pages them; a second
/// lies between two, and the one with the number `huge` is larger than an answer may be.
fn page(request: &Request, huge: Option<i64>) -> ResponseTemplate {
    let asked = |name: &str| -> Option<i64> {
        let mut pairs = request.url.query_pairs();
        pairs.find(|(key, _)| key == name)?.1.parse().ok()
    };
    let (from, to) = (asked("startDate"), asked("endDate"));
    let window = (0..40_i64).filter(|number| {
        let time = NEWEST - number * 1_000;
        from.is_none_or(|from| time >= from) && to.is_none_or(|to| time <= to)
    });
    let start = usize::try_from(asked("start").unwrap_or(0)).unwrap();
    let limit = usize::try_from(asked("limit").unwrap()).unwrap();
    let records: Vec<String> = window
        .skip(start)
        .take(limit)
        .map(|number| {
            let length = if huge == Some(number) { 2 * LIMIT } else { 300 };
            let time = NEWEST - number * 1_000;
            format!(
                r#"{{"creationDate":{time},"summary":"{}"}}"#,
                "x".repeat(length)
            )
        })
        .collect();
    let body = format!(
        r#"{{"results":[{}],"start":{start},"limit":{limit},"size":{}}}"#,
        records.join(","),
        records.len()
    );
    ResponseTemplate::new(200).set_body_raw(body, "application/json")
}

async fn read(huge: Option<i64>) -> Vec<i64> {
    let site = Site::start().await;
    site.always(AUDIT, move |request: &Request| page(request, huge))
        .await;
    let http = Http::builder()
        .runtime(site.clock.clone())
        .body_limit(LIMIT)
        .build();
    let log = SiteLog::new(AuditClient::new(http, site.gateway(), site.api_token()));
    let span = Window {
        from: Timestamp::from_millis(NEWEST - 3_600_000),
        to: Some(Timestamp::from_millis(NEWEST)),
    };
    let now = Timestamp::from_millis(NEWEST);
    let mut reader = Reader::new(
        Arc::new(log),
        |_, timed| timed.time.as_millis(),
        span,
        now,
        None,
        NonZeroUsize::MIN,
    );
    let mut times = Vec::new();
    while let Some(complete) = reader.next().await.unwrap() {
        times.extend(complete.records);
    }
    times
}

fn expected(left_out: Option<i64>) -> Vec<i64> {
    let numbers = (0..40).rev().filter(|number| Some(*number) != left_out);
    numbers.map(|number| NEWEST - number * 1_000).collect()
}

#[tokio::test]
async fn a_page_that_is_too_large_is_asked_for_again_with_fewer_records() {
    assert_eq!(read(None).await, expected(None));
}

#[tokio::test]
async fn a_record_that_is_too_large_costs_itself_and_no_neighbour() {
    for huge in [0, 17, 39] {
        assert_eq!(read(Some(huge)).await, expected(Some(huge)), "{huge}");
    }
}
