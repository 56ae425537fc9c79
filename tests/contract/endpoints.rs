//! What is asked: method, path, query and headers of each endpoint, on the gateway and directly.

use std::io::Write as _;

use confluence_audit_core::{
    ApiToken, AuditClient, AuditQuery, ErrorKind, ExportQuery, SinceQuery, SiteAddress, TimeUnit,
    Timestamp,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use wiremock::ResponseTemplate;

use crate::clock::NOW;
use crate::fixture::Fixture;
use crate::site::{API_TOKEN, AUDIT, BASIC, EMAIL, Site, assert_get, assert_headers, target};
use crate::wire::{Wire, whole};

/// Everything that a query has to encode: blanks, separators, a plus, a percent sign, UTF-8.
const SEARCH: &str = "Marta & Søn=1+1 100%/x?";
const SEARCH_ENCODED: &str = "Marta+%26+S%C3%B8n%3D1%2B1+100%25%2Fx%3F";

const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

#[tokio::test]
async fn the_whole_log_is_asked_for_without_any_parameter() {
    let site = Site::serving(["audit/single-page"]).await;
    site.client().audit(&AuditQuery::new()).await.unwrap();
    assert_get(&site.request().await, AUDIT, Some(BASIC));
}

#[tokio::test]
async fn every_parameter_of_the_log_is_sent_under_its_documented_name_and_encoded() {
    let site = Site::serving(["audit/first-page"]).await;
    let query = AuditQuery::new()
        .since(START)
        .until(NOW)
        .search(SEARCH)
        .start(3)
        .limit(500);
    site.client().audit(&query).await.unwrap();
    let expected = format!(
        "{AUDIT}?startDate=1767225600000&endDate=1767261600000&searchString={SEARCH_ENCODED}\
         &start=3&limit=500"
    );
    assert_get(&site.request().await, &expected, Some(BASIC));
}

#[tokio::test]
async fn a_time_before_1970_is_a_negative_number_and_not_left_out() {
    let site = Site::serving(["audit/empty-log"]).await;
    let query = AuditQuery::new().since(Timestamp::from_millis(-1));
    site.client().audit(&query).await.unwrap();
    assert_get(
        &site.request().await,
        &format!("{AUDIT}?startDate=-1"),
        Some(BASIC),
    );
}

#[tokio::test]
async fn a_span_back_from_now_is_asked_for_with_every_parameter() {
    let site = Site::start().await;
    let at = format!("{AUDIT}/since");
    site.answers("GET", &at, ["since/three-months"]).await;
    let query = SinceQuery::new(3, TimeUnit::Months)
        .search(SEARCH)
        .start(6)
        .limit(25);
    let page = site.client().audit_since(&query).await.unwrap();
    let expected =
        format!("{at}?number=3&units=MONTHS&searchString={SEARCH_ENCODED}&start=6&limit=25");
    assert_get(&site.request().await, &expected, Some(BASIC));
    assert!(!page.records.is_empty());
}

#[tokio::test]
async fn every_unit_is_spelled_as_the_service_spells_it() {
    use TimeUnit::{
        Centuries, Days, Decades, HalfDays, Hours, Micros, Millis, Minutes, Months, Nanos, Seconds,
        Weeks, Years,
    };
    let units = [
        (Nanos, "NANOS"),
        (Micros, "MICROS"),
        (Millis, "MILLIS"),
        (Seconds, "SECONDS"),
        (Minutes, "MINUTES"),
        (Hours, "HOURS"),
        (HalfDays, "HALF_DAYS"),
        (Days, "DAYS"),
        (Weeks, "WEEKS"),
        (Months, "MONTHS"),
        (Years, "YEARS"),
        (Decades, "DECADES"),
        (Centuries, "CENTURIES"),
    ];
    let site = Site::start().await;
    let at = format!("{AUDIT}/since");
    let empty = Fixture::read("since/empty").template();
    site.responds("GET", &at, units.len() as u64, empty).await;
    for (unit, _) in units {
        let query = SinceQuery::new(1, unit);
        site.client().audit_since(&query).await.unwrap();
    }
    let expected = units.map(|(_, name)| format!("GET {at}?number=1&units={name}"));
    assert_eq!(site.targets().await, expected);
}

#[tokio::test]
async fn an_export_is_asked_for_as_a_file_and_handed_over_untouched() {
    for (zip, format, fixture) in [(false, "csv", "export/csv"), (true, "zip", "export/zip")] {
        let site = Site::start().await;
        let at = format!("{AUDIT}/export");
        site.answers("GET", &at, [fixture]).await;
        let query = ExportQuery::new().since(START).until(NOW).search(SEARCH);
        let query = if zip { query.zip() } else { query };
        let file = site.client().export(&query).await.unwrap();
        assert_eq!(file, Fixture::read(fixture).body);

        let request = site.request().await;
        let expected = format!(
            "GET {at}?startDate=1767225600000&endDate=1767261600000\
             &searchString={SEARCH_ENCODED}&format={format}"
        );
        assert_eq!(target(&request), expected);
        assert_headers(&request, "text/csv, application/zip", Some(BASIC));
    }
}

#[tokio::test]
async fn an_export_without_records_is_its_heading_and_no_error() {
    let site = Site::start().await;
    let at = format!("{AUDIT}/export");
    site.answers("GET", &at, ["export/csv-empty"]).await;
    let file = site.client().export(&ExportQuery::new()).await.unwrap();
    assert_eq!(file, Fixture::read("export/csv-empty").body);
    let expected = format!("GET {at}?format=csv");
    assert_eq!(site.targets().await, [expected]);
}

#[tokio::test]
async fn nothing_but_a_file_is_taken_for_an_exported_file() {
    use ErrorKind::{NotJson, UnexpectedJson};
    let answer =
        |kind: &str, body: &str| ResponseTemplate::new(200).set_body_raw(body.to_owned(), kind);
    for (answer, kind) in [
        (Fixture::read("errors/200-sign-in-page").template(), NotJson),
        (answer("Text/HTML", "<html>"), NotJson),
        (answer("text/html; charset=utf-8", "Sign in"), NotJson),
        (answer("text/csv", "\r\n<!doctype html>"), NotJson),
        (answer("text/csv", ""), NotJson),
        (Fixture::read("errors/204-no-content").template(), NotJson),
        (
            Fixture::read("errors/200-error-in-json").template(),
            UnexpectedJson,
        ),
        (answer("text/csv", r#" {"code":500}"#), UnexpectedJson),
        (answer("application/json", "null"), UnexpectedJson),
    ] {
        let site = Site::start().await;
        let at = format!("{AUDIT}/export");
        site.responds("GET", &at, 1, answer).await;
        let error = site.client().export(&ExportQuery::new()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[tokio::test]
async fn the_retention_is_read_whatever_its_unit() {
    let mut table = Vec::new();
    for name in Fixture::names("retention") {
        let site = Site::start().await;
        let at = format!("{AUDIT}/retention");
        site.responds("GET", &at, 1, Fixture::read(&name).template())
            .await;
        let retention = site.client().retention().await.unwrap();
        assert_get(&site.request().await, &at, Some(BASIC));
        let days = retention.days();
        table.push(format!("{name}: {retention:?}, at most {days:?} days"));
    }
    insta::assert_snapshot!(table.join("\n"));
}

#[tokio::test]
async fn an_error_object_is_no_retention() {
    let site = Site::start().await;
    let at = format!("{AUDIT}/retention");
    site.answers("GET", &at, ["errors/200-error-in-json"]).await;
    let error = site.client().retention().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedJson);
}

#[tokio::test]
async fn on_the_sites_own_host_the_same_endpoints_stand_without_the_cloud_id() {
    const DIRECT: &str = "/wiki/rest/api/audit";
    let site = Site::start().await;
    for (below, fixture) in [
        ("", "audit/single-page"),
        ("/since", "since/empty"),
        ("/export", "export/csv"),
        ("/retention", "retention/twelve-months"),
    ] {
        let template = Fixture::read(fixture).template();
        site.responds("GET", &format!("{DIRECT}{below}"), 1, template)
            .await;
    }
    let address = SiteAddress::direct(site.origin());
    assert_eq!(address.origin(), &site.origin());
    let client = AuditClient::new(site.http.clone(), address, site.api_token());
    client.audit(&AuditQuery::new().limit(1)).await.unwrap();
    let hour = SinceQuery::new(1, TimeUnit::Hours);
    client.audit_since(&hour).await.unwrap();
    client.export(&ExportQuery::new()).await.unwrap();
    client.retention().await.unwrap();
    let requests = site.requests().await;
    assert_get(&requests[0], &format!("{DIRECT}?limit=1"), Some(BASIC));
    assert_eq!(
        target(&requests[1]),
        format!("GET {DIRECT}/since?number=1&units=HOURS")
    );
    assert_eq!(
        target(&requests[2]),
        format!("GET {DIRECT}/export?format=csv")
    );
    assert_eq!(target(&requests[3]), format!("GET {DIRECT}/retention"));
}

#[tokio::test]
async fn a_request_of_ones_own_stays_below_the_log_and_hands_over_the_whole_answer() {
    let site = Site::start().await;
    let at = format!("{AUDIT}/later");
    site.answers("GET", &at, ["audit/rate-limit-near"]).await;
    let answer = site.client().raw("/later", Some("a=b%20c")).await.unwrap();
    assert_get(&site.request().await, &format!("{at}?a=b%20c"), Some(BASIC));
    let fixture = Fixture::read("audit/rate-limit-near");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["x-ratelimit-nearlimit"], "true");
    assert_eq!(answer.body, fixture.body);
}

#[tokio::test]
async fn a_raw_request_that_is_refused_is_an_error_and_no_answer() {
    let site = Site::serving(["errors/403-not-permitted"]).await;
    let error = site.client().raw("", None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPermitted);
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn gzipped(body: &[u8]) -> ResponseTemplate {
    ResponseTemplate::new(200)
        .insert_header("content-encoding", "gzip")
        .set_body_bytes(gzip(body))
}

#[tokio::test]
async fn a_compressed_answer_is_the_same_page() {
    let site = Site::start().await;
    let body = Fixture::read("audit/first-page").body;
    site.responds("GET", AUDIT, 1, gzipped(&body)).await;
    let answer = site.client().raw("", None).await.unwrap();
    assert_eq!(answer.body, body);
}

#[tokio::test]
async fn a_small_answer_that_unpacks_to_a_huge_one_is_stopped_at_the_limit() {
    const LIMIT: usize = 1 << 20;
    let site = Site::start().await;
    let bomb = gzipped(&vec![b' '; 8 << 20]);
    site.responds("GET", AUDIT, 1, bomb).await;
    let error = limited(&site, LIMIT).raw("", None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(error.attempts(), 1);
}

#[tokio::test]
async fn an_answer_of_the_limit_passes_and_one_byte_more_does_not() {
    let site = Site::serving(["audit/first-page", "audit/first-page"]).await;
    let length = Fixture::read("audit/first-page").body.len();
    let exact = limited(&site, length).audit(&AuditQuery::new()).await;
    assert_eq!(exact.unwrap().records.len(), 3);
    let error = limited(&site, length - 1)
        .audit(&AuditQuery::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(
        error.to_string().contains(&(length - 1).to_string()),
        "{error}"
    );
    assert!(!error.is_transient() && !error.is_credentials());
}

fn limited(site: &Site, bytes: usize) -> AuditClient {
    let http = confluence_audit_core::Http::builder()
        .runtime(site.clock.clone())
        .body_limit(bytes)
        .build();
    AuditClient::new(http, site.gateway(), site.api_token())
}

#[tokio::test]
async fn a_body_that_says_no_length_and_breaks_off_at_its_end_is_whole() {
    // HTTP/1.0 style: the end of the connection is the end of the body.
    let body = Fixture::read("audit/single-page").body;
    let mut answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    answer.extend_from_slice(&body);
    let wire = Wire::answering([answer, whole(&body)]).await;
    let token = ApiToken::new(wire.origin.clone(), EMAIL, API_TOKEN.into()).unwrap();
    let site = Site::start().await;
    let address = SiteAddress::direct(wire.origin.clone());
    let client = AuditClient::new(site.http.clone(), address, std::sync::Arc::new(token));
    assert_eq!(client.raw("", None).await.unwrap().body, body);
    assert_eq!(wire.requests().len(), 1);
}
