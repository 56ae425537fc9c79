//! When a request is made again, and how long it waits: on a clock that does not run.

use std::sync::Arc;
use std::time::Duration;

use confluence_audit_core::{
    AuditClient, AuditQuery, Authenticator as _, ErrorKind, Http, HttpStats, MemoryTokenStore,
    OAuth, OAuthApp, RetryPolicy, TokenSet,
};

use crate::fixture::Fixture;
use crate::site::{AUDIT, Site, TOKEN};
use crate::wire::{Wire, cut, whole};

/// What was waited for, in seconds, until a request with `fixture` as its every answer gave up.
async fn waits(fixture: &str) -> Vec<f64> {
    let site = Site::start().await;
    let template = Fixture::read(fixture).template();
    site.always(AUDIT, template).await;
    site.client().audit(&AuditQuery::new()).await.unwrap_err();
    site.clock.waits()
}

const OWN: [f64; 4] = [2.0, 4.0, 8.0, 16.0];

#[tokio::test]
async fn what_the_service_asks_for_is_the_least_that_is_waited() {
    for (fixture, expected) in [
        ("errors/429-retry-after-seconds", [7.0, 7.0, 8.0, 16.0]),
        ("errors/429-retry-after-date", [30.0; 4]),
        ("errors/429-retry-after-obsolete-date", [30.0; 4]),
        ("errors/429-reset-with-seconds", [30.0; 4]),
        ("errors/429-reset-without-seconds", [30.0; 4]),
        ("errors/429-reset-with-offset", [30.0; 4]),
        ("errors/429-reset-epoch-seconds", [30.0; 4]),
        ("errors/503-retry-after", [3.0, 4.0, 8.0, 16.0]),
    ] {
        assert_eq!(waits(fixture).await, expected, "{fixture}");
    }
}

#[tokio::test]
async fn a_header_that_asks_for_nothing_or_is_not_understood_leaves_our_own_waits() {
    for fixture in [
        "errors/429-no-headers",
        "errors/429-html",
        "errors/429-retry-after-zero",
        "errors/429-retry-after-negative",
        "errors/429-retry-after-garbage",
        "errors/429-retry-after-past-date",
        "errors/429-retry-after-fraction",
        "errors/500",
        "errors/502",
        "errors/503",
        "errors/504",
        "errors/200-cut-json",
    ] {
        assert_eq!(waits(fixture).await, OWN, "{fixture}");
    }
}

#[tokio::test]
async fn a_wait_beyond_the_budget_is_given_up_at_once() {
    for fixture in ["errors/429-retry-after-long", "errors/429-retry-after-huge"] {
        let site = Site::serving([fixture]).await;
        let error = site.client().audit(&AuditQuery::new()).await.unwrap_err();
        let end = (error.kind(), error.attempts());
        assert_eq!(end, (ErrorKind::RateLimited, 1), "{fixture}");
        assert!(site.clock.waits().is_empty(), "{fixture}");
        assert_eq!(site.http.stats().rate_limited, Duration::ZERO);
    }
}

#[tokio::test]
async fn all_waits_of_a_request_together_stay_within_the_budget() {
    let site = Site::serving(["errors/429-retry-after-seconds"; 3]).await;
    let http = Http::builder()
        .runtime(site.clock.clone())
        .retry(RetryPolicy {
            budget: Duration::from_secs(20),
            ..RetryPolicy::default()
        })
        .build();
    let client = AuditClient::new(http, site.gateway(), site.api_token());
    let error = client.audit(&AuditQuery::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.attempts(), 3);
    assert_eq!(site.clock.waits(), [7.0, 7.0]);
}

#[tokio::test]
async fn the_jitter_spreads_our_own_waits_and_shortens_none_that_was_asked_for() {
    for (random, own, asked) in [
        (0.0, [1.4, 2.8, 5.6, 11.2], [7.0, 7.0, 7.0, 11.2]),
        (1.0, [2.6, 5.2, 10.4, 20.8], [7.0, 7.0, 10.4, 20.8]),
    ] {
        for (fixture, expected) in [
            ("errors/503", own),
            ("errors/429-retry-after-seconds", asked),
        ] {
            let site = Site::serving([fixture; 5]).await;
            site.clock.set_random(random);
            site.client().audit(&AuditQuery::new()).await.unwrap_err();
            let waits = site.clock.waits();
            for (wait, expected) in waits.iter().zip(expected) {
                assert!((wait - expected).abs() < 1e-6, "{fixture}: {waits:?}");
            }
            assert_eq!(waits.len(), expected.len());
        }
    }
}

#[tokio::test]
async fn after_a_passing_failure_of_any_form_the_page_is_read() {
    for name in Fixture::names("errors") {
        let passing = ["429-", "502", "503", "504", "500", "200-cut"];
        let long = ["retry-after-long", "retry-after-huge"];
        let case = name.trim_start_matches("errors/");
        if passing.iter().any(|start| case.starts_with(start))
            && !long.iter().any(|end| case.ends_with(end))
        {
            let site = Site::serving([name.as_str(), "audit/single-page"]).await;
            let page = site.client().audit(&AuditQuery::new()).await.unwrap();
            assert_eq!(page.records.len(), 5, "{name}");
        }
    }
}

#[tokio::test]
async fn an_internal_error_is_asked_again_with_get_and_never_with_post() {
    let site = Site::serving(["errors/500", "audit/single-page"]).await;
    site.client().audit(&AuditQuery::new()).await.unwrap();

    let site = Site::start().await;
    site.answers("POST", TOKEN, ["errors/500"]).await;
    let error = site.exchange().await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Server, 1));
    assert_eq!(error.status(), Some(500));
    assert!(site.clock.waits().is_empty());
}

#[tokio::test]
async fn neither_an_internal_error_that_is_cut_nor_a_code_that_is_used_up_is_posted_again() {
    for (answer, kind) in [
        (
            b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\n{".to_vec(),
            ErrorKind::Server,
        ),
        (cut(br#"{"access_token":"#, 10), ErrorKind::CutBody),
        (whole(br#"{"access_token":"#), ErrorKind::CutBody),
    ] {
        let wire = Wire::answering(vec![answer; 5]).await;
        let site = Site::start().await;
        let app = OAuthApp::new(wire.origin.clone(), "id", "secret".into());
        let code = "code".into();
        let tokens = app.exchange(&site.http, &code, "http://localhost:1/").await;
        assert_eq!(tokens.unwrap_err().kind(), kind);
        assert_eq!(wire.requests().len(), 1, "{kind:?}");
    }
}

#[tokio::test]
async fn a_refresh_whose_answer_was_cut_is_asked_for_again_while_the_old_token_is_good() {
    let answer = br#"{"access_token":"t","expires_in":3600}"#;
    let wire = Wire::answering([cut(&answer[..20], 18), whole(answer)]).await;
    let site = Site::start().await;
    let app = OAuthApp::new(wire.origin.clone(), "id", "secret".into());
    let store = MemoryTokenStore::new(TokenSet::from_refresh_token("r".into()));
    let oauth = OAuth::new(site.http.clone(), site.origin(), app, Arc::new(store));
    oauth.headers(&site.origin()).await.unwrap();
    assert_eq!(wire.requests().len(), 2);
}

#[tokio::test]
async fn a_rate_limit_and_a_bad_gateway_are_asked_again_with_post_too() {
    for failure in ["errors/429-retry-after-seconds", "errors/502", "errors/503"] {
        let site = Site::start().await;
        site.answers("POST", TOKEN, [failure, "oauth-token/authorization-code"])
            .await;
        site.exchange().await.unwrap();
    }
}

#[tokio::test]
async fn the_counts_are_of_all_clones_and_tell_waiting_for_the_limit_apart() {
    let site = Site::serving([
        "errors/429-retry-after-seconds",
        "errors/503",
        "audit/first-page",
        "audit/last-page",
    ])
    .await;
    assert_eq!(site.http.stats(), HttpStats::default());
    let (one, other) = (site.client(), site.client());
    one.audit(&AuditQuery::new()).await.unwrap();
    other.clone().audit(&AuditQuery::new()).await.unwrap();
    let stats = one.http().stats();
    assert_eq!(stats, site.http.stats());
    assert_eq!((stats.requests, stats.retries), (4, 2));
    // Seven seconds asked for by the first answer; the four after the 503 are no rate limit.
    assert_eq!(stats.rate_limited, Duration::from_secs(7));
    assert_eq!(site.clock.waits(), [7.0, 4.0]);
}

#[tokio::test]
async fn a_request_that_was_answered_waits_for_nothing() {
    let site = Site::serving(["audit/single-page"]).await;
    site.client().audit(&AuditQuery::new()).await.unwrap();
    assert!(site.clock.waits().is_empty());
    assert_eq!(site.http.stats().retries, 0);
}
