//! Every error that the service was seen or is feared to answer: which kind it is, what an
//! operator reads, and how often it was asked for.

use std::error::Error as _;
use std::fmt::Write as _;
use std::sync::Arc;

use confluence_audit_core::ErrorKind::{
    self, CutBody, FreePlan, MissingScope, NotJson, NotPermitted, RateLimited, Rejected, Server,
    Unauthorized, UnexpectedJson, Unreachable, WrongHost, WrongSite,
};
use confluence_audit_core::{
    ApiToken, AuditClient, AuditQuery, Error, ExportQuery, Http, RetryPolicy, SinceQuery,
    SiteAddress, TimeUnit,
};
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::fixture::Fixture;
use crate::site::{API_TOKEN, AUDIT, EMAIL, Site};
use crate::wire::{Wire, cut, nobody, whole};

/// Each fixture of an error, what it means, and how many requests it costs.
const CASES: &[(&str, ErrorKind, u32)] = &[
    ("200-control-characters", NotJson, 1),
    ("200-cut-inside-a-character", CutBody, 5),
    ("200-cut-json", CutBody, 5),
    ("200-empty-body", NotJson, 1),
    ("200-error-in-json", UnexpectedJson, 1),
    ("200-json-array", UnexpectedJson, 1),
    ("200-json-null", UnexpectedJson, 1),
    ("200-other-json", UnexpectedJson, 1),
    ("200-results-missing", UnexpectedJson, 1),
    ("200-results-not-array", UnexpectedJson, 1),
    ("200-sign-in-page", NotJson, 1),
    ("200-two-documents", NotJson, 1),
    ("204-no-content", NotJson, 1),
    ("302-to-sign-in", NotJson, 1),
    ("400-bad-request", Rejected, 1),
    ("401-basic-html", Unauthorized, 1),
    ("401-empty", Unauthorized, 1),
    ("401-expired", Unauthorized, 1),
    ("401-scope-mismatch", MissingScope, 1),
    ("401-unauthorized", Unauthorized, 1),
    ("403-control-characters", NotPermitted, 1),
    ("403-free-edition", FreePlan, 1),
    ("403-html", NotPermitted, 1),
    ("403-not-administrator", NotPermitted, 1),
    ("403-not-permitted", NotPermitted, 1),
    ("404-wrong-cloud-id", WrongSite, 1),
    ("410-gone", Rejected, 1),
    ("429-html", RateLimited, 5),
    ("429-no-headers", RateLimited, 5),
    ("429-reset-epoch-seconds", RateLimited, 5),
    ("429-reset-with-offset", RateLimited, 5),
    ("429-reset-with-seconds", RateLimited, 5),
    ("429-reset-without-seconds", RateLimited, 5),
    ("429-retry-after-date", RateLimited, 5),
    ("429-retry-after-fraction", RateLimited, 5),
    ("429-retry-after-garbage", RateLimited, 5),
    ("429-retry-after-huge", RateLimited, 1),
    ("429-retry-after-long", RateLimited, 1),
    ("429-retry-after-negative", RateLimited, 5),
    ("429-retry-after-obsolete-date", RateLimited, 5),
    ("429-retry-after-past-date", RateLimited, 5),
    ("429-retry-after-seconds", RateLimited, 5),
    ("429-retry-after-twice", RateLimited, 5),
    ("429-retry-after-zero", RateLimited, 5),
    ("500", Server, 5),
    ("500-long", Server, 5),
    ("502", Server, 5),
    ("503", Server, 5),
    ("503-retry-after", Server, 5),
    ("504", Server, 5),
];

/// The kinds that a run which fails for a permission or a credential ends with.
const CREDENTIALS: &[ErrorKind] = &[
    Unauthorized,
    WrongHost,
    MissingScope,
    NotPermitted,
    FreePlan,
];
/// The kinds that another run may not meet.
const TRANSIENT: &[ErrorKind] = &[RateLimited, Server, CutBody, Unreachable];

#[test]
fn every_fixture_of_an_error_is_in_the_table() {
    let mut missing = Fixture::names("errors");
    missing.retain(|name| {
        CASES
            .iter()
            .all(|(case, ..)| format!("errors/{case}") != *name)
    });
    // Answers that can be read.
    assert_eq!(
        missing,
        ["errors/200-not-utf8", "errors/200-page-numbers-odd"]
    );
}

#[tokio::test]
async fn each_error_is_of_its_kind_says_what_happened_and_names_its_requests() {
    let mut shown = String::new();
    for &(case, kind, requests) in CASES {
        let fixture = Fixture::read(&format!("errors/{case}"));
        let site = Site::start().await;
        site.responds("GET", AUDIT, requests.into(), fixture.template())
            .await;
        let error = site.client().audit(&AuditQuery::new()).await.unwrap_err();

        assert_eq!(error.kind(), kind, "{case}");
        assert_eq!(error.status(), Some(fixture.status), "{case}");
        assert_eq!(error.attempts(), requests, "{case}");
        assert_eq!(site.http.stats().requests, u64::from(requests), "{case}");
        assert_eq!(
            error.is_credentials(),
            CREDENTIALS.contains(&kind),
            "{case}"
        );
        assert_eq!(error.is_transient(), TRANSIENT.contains(&kind), "{case}");
        assert!(!error.remedy().is_empty(), "{case}");
        let id = fixture.header("atl-request-id").unwrap();
        assert_eq!(error.request_ids(), vec![id; requests as usize], "{case}");
        let harmless = |text: &str| !text.contains(char::is_control) && text.chars().count() < 700;
        assert!(harmless(&error.to_string()), "{case}: {error}");

        let _ = writeln!(
            shown,
            "{case}\n  {kind:?}: {}",
            site.portless(&chain(&error))
        );
    }
    insta::assert_snapshot!(shown);
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, "\n    {error}");
        source = error.source();
    }
    text
}

#[tokio::test]
async fn the_other_endpoints_of_the_log_fail_the_same_way() {
    for (fixture, kind) in [
        ("errors/401-scope-mismatch", MissingScope),
        ("errors/403-free-edition", FreePlan),
        ("errors/404-wrong-cloud-id", WrongSite),
    ] {
        let site = Site::start().await;
        for below in ["/since", "/export", "/retention"] {
            site.answers("GET", &format!("{AUDIT}{below}"), [fixture])
                .await;
        }
        let client = site.client();
        let hour = SinceQuery::new(1, TimeUnit::Hours);
        let since = client.audit_since(&hour).await.unwrap_err();
        let export = client.export(&ExportQuery::new()).await.unwrap_err();
        let retention = client.retention().await.unwrap_err();
        for (error, below) in [
            (since, "/since"),
            (export, "/export"),
            (retention, "/retention"),
        ] {
            assert_eq!(error.kind(), kind, "{fixture} {below}");
            assert!(error.to_string().contains(below), "{error}");
        }
    }
}

#[tokio::test]
async fn a_refusal_on_the_sites_own_host_says_that_it_may_be_the_wrong_host() {
    for (fixture, kind) in [
        ("errors/401-unauthorized", WrongHost),
        ("errors/401-basic-html", WrongHost),
        ("errors/401-empty", WrongHost),
        ("errors/401-scope-mismatch", MissingScope),
        ("errors/403-not-permitted", NotPermitted),
    ] {
        let site = Site::start().await;
        site.answers("GET", "/wiki/rest/api/audit", [fixture]).await;
        let address = SiteAddress::direct(site.origin());
        let client = AuditClient::new(site.http.clone(), address, site.api_token());
        let error = client.audit(&AuditQuery::new()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{fixture}");
        assert!(error.is_credentials());
    }
}

#[tokio::test]
async fn what_a_user_searched_for_is_not_in_the_message() {
    let site = Site::serving(["errors/400-bad-request"]).await;
    let query = AuditQuery::new().search("somebody's name");
    let error = site.client().audit(&query).await.unwrap_err();
    assert!(
        !format!("{error} {error:?}").contains("somebody"),
        "{error}"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_carries_no_credential_away() {
    let elsewhere = Site::start().await;
    for status in [301, 302, 303, 307, 308] {
        let site = Site::start().await;
        let to = format!("{}{AUDIT}", elsewhere.origin());
        let template = ResponseTemplate::new(status).insert_header("location", to);
        site.responds("GET", AUDIT, 1, template).await;
        let error = site.client().audit(&AuditQuery::new()).await.unwrap_err();
        assert_eq!(error.kind(), NotJson);
        assert_eq!(error.status(), Some(status));
    }
    assert!(elsewhere.requests().await.is_empty());
}

async fn client_of(wire: &Wire) -> (AuditClient, Site) {
    let site = Site::start().await;
    let token = ApiToken::new(wire.origin.clone(), EMAIL, API_TOKEN.into()).unwrap();
    let address = SiteAddress::direct(wire.origin.clone());
    let client = AuditClient::new(site.http.clone(), address, Arc::new(token));
    (client, site)
}

#[tokio::test]
async fn a_body_that_breaks_off_is_asked_for_again() {
    let body = Fixture::read("audit/single-page").body;
    let wire = Wire::answering([cut(&body[..100], 900), cut(b"", 5), whole(&body)]).await;
    let (client, site) = client_of(&wire).await;
    let page = client.audit(&AuditQuery::new()).await.unwrap();
    assert_eq!(page.records.len(), 5);
    assert_eq!(wire.requests(), ["GET /wiki/rest/api/audit HTTP/1.1"; 3]);
    assert_eq!(site.clock.waits(), [2.0, 4.0]);
}

#[tokio::test]
async fn a_body_that_is_whole_json_but_shorter_than_announced_is_cut_all_the_same() {
    let body = Fixture::read("audit/single-page").body;
    let wire = Wire::answering(vec![cut(&body, 1); 5]).await;
    let (client, _site) = client_of(&wire).await;
    let error = client.audit(&AuditQuery::new()).await.unwrap_err();
    assert_eq!(error.kind(), CutBody);
    assert_eq!(error.attempts(), 5);
    assert_eq!(wire.requests().len(), 5);
    assert!(error.is_transient() && error.source().is_some());
}

#[tokio::test]
async fn a_cut_answer_keeps_its_status_and_request_ids() {
    let answer = b"HTTP/1.1 200 OK\r\natl-request-id: the-id\r\nContent-Length: 100\r\n\r\n{";
    let wire = Wire::answering(vec![answer.to_vec(); 5]).await;
    let (client, _site) = client_of(&wire).await;
    let error = client.audit(&AuditQuery::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (CutBody, Some(200)));
    assert_eq!(error.request_ids(), ["the-id"; 5]);
}

#[tokio::test]
async fn a_refusal_that_is_too_large_or_breaks_off_is_still_that_refusal() {
    let site = Site::start().await;
    let refusal = ResponseTemplate::new(403).set_body_bytes(vec![b'x'; 5000]);
    site.responds("GET", AUDIT, 1, refusal).await;
    let http = Http::builder().body_limit(1000).build();
    let client = AuditClient::new(http, site.gateway(), site.api_token());
    let error = client.audit(&AuditQuery::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (NotPermitted, Some(403)));

    let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\non Free edition";
    let wire = Wire::answering([answer.to_vec()]).await;
    let (client, _site) = client_of(&wire).await;
    let error = client.audit(&AuditQuery::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (FreePlan, Some(403)));
}

#[tokio::test]
async fn what_a_server_sent_is_cut_in_the_causes_too() {
    let site = Site::start().await;
    let body = json!({"results": "x".repeat(1_000_000)});
    let template = ResponseTemplate::new(200).set_body_json(body);
    site.responds("GET", AUDIT, 1, template).await;
    let error = site.client().audit(&AuditQuery::new()).await.unwrap_err();
    let cause = error.source().unwrap().to_string();
    assert!(cause.len() < 2000, "{}", cause.len());
}

#[tokio::test]
async fn nothing_that_a_record_says_is_told_when_its_page_cannot_be_read() {
    for case in ["200-cut-json", "200-results-not-array", "200-two-documents"] {
        let site = Site::start().await;
        let template = Fixture::read(&format!("errors/{case}")).template();
        site.always(AUDIT, template).await;
        let error = site.client().audit(&AuditQuery::new()).await.unwrap_err();
        let said = format!("{} {error:?}", chain(&error));
        assert!(
            !said.contains("Marta") && !said.contains("accountId"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_closes_without_an_answer_is_tried_again() {
    let wire = Wire::answering([]).await;
    let (client, _site) = client_of(&wire).await;
    let error = client.audit(&AuditQuery::new()).await.unwrap_err();
    assert_eq!(error.kind(), Unreachable);
    assert_eq!(wire.requests().len(), 5);
}

#[tokio::test]
async fn a_host_that_refuses_connections_is_unreachable_and_named() {
    let (origin, _socket) = nobody();
    let site = Site::start().await;
    let token = ApiToken::new(origin.clone(), EMAIL, API_TOKEN.into()).unwrap();
    let address = SiteAddress::direct(origin.clone());
    let client = AuditClient::new(site.http.clone(), address, Arc::new(token));
    let error = client.audit(&AuditQuery::new()).await.unwrap_err();
    assert_eq!(error.kind(), Unreachable);
    assert_eq!(error.status(), None);
    assert_eq!(error.attempts(), 5);
    assert!(error.to_string().contains(&origin.to_string()), "{error}");
    assert!(error.is_transient() && !error.is_credentials());
    let text = chain(&error);
    assert!(text.contains("refused"), "{text}");
}

#[tokio::test]
async fn an_error_of_the_last_attempt_counts_and_all_attempts_are_named() {
    let site = Site::serving(["errors/503", "errors/502", "errors/403-not-permitted"]).await;
    let error = site.client().audit(&AuditQuery::new()).await.unwrap_err();
    assert_eq!(error.kind(), NotPermitted);
    assert_eq!(error.status(), Some(403));
    let ids = ["errors/503", "errors/502", "errors/403-not-permitted"].map(|name| {
        Fixture::read(name)
            .header("atl-request-id")
            .unwrap()
            .to_owned()
    });
    assert_eq!(error.request_ids(), ids);
    insta::assert_snapshot!(site.portless(&error.to_string()));
}

#[tokio::test]
async fn without_a_request_id_the_trace_id_is_kept() {
    let site = Site::start().await;
    let template = ResponseTemplate::new(403).insert_header("atl-traceid", "abc123");
    site.responds("GET", AUDIT, 1, template).await;
    let error = site.client().audit(&AuditQuery::new()).await.unwrap_err();
    assert_eq!(error.request_ids(), ["abc123"]);
}

#[tokio::test]
async fn a_policy_of_no_retries_asks_once() {
    let site = Site::serving(["errors/503"]).await;
    let http = Http::builder()
        .runtime(site.clock.clone())
        .retry(RetryPolicy::NEVER)
        .build();
    let client = AuditClient::new(http, site.gateway(), site.api_token());
    let error = client.audit(&AuditQuery::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (Server, 1));
    assert!(site.clock.waits().is_empty());
}
