//! Bearer tokens: asked for in the right words, and renewed in time by one at a time.

use std::sync::Arc;
use std::time::Duration;

use confluence_audit_core::{AuditQuery, ErrorKind, MemoryTokenStore, TokenSet, TokenStore};
use futures_util::future::join_all;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use wiremock::{Request, ResponseTemplate};

use crate::clock::NOW;
use crate::fixture::Fixture;
use crate::site::{
    AUDIT, CALLBACK, CLIENT_ID, CLIENT_SECRET, Site, TOKEN, assert_headers, header, target,
};

pub(crate) const FIRST: &str = "fixture.access-token.first";
pub(crate) const FIRST_REFRESH: &str = "fixture.refresh-token.first";
pub(crate) const SECOND: &str = "fixture.access-token.second";
pub(crate) const SECOND_REFRESH: &str = "fixture.refresh-token.second";

/// Tokens issued now that last for `seconds`.
pub(crate) fn lasting(access: &str, refresh: &str, seconds: u64) -> TokenSet {
    let mut tokens = TokenSet::from_refresh_token(refresh.into());
    tokens.access_token = access.into();
    tokens.issued_at = NOW;
    tokens.expires_at = NOW.saturating_add(Duration::from_secs(seconds));
    tokens
}

pub(crate) fn first() -> TokenSet {
    lasting(FIRST, FIRST_REFRESH, 3600)
}

pub(crate) fn store_of(tokens: TokenSet) -> Arc<MemoryTokenStore> {
    Arc::new(MemoryTokenStore::new(tokens))
}

async fn access_of(store: &MemoryTokenStore) -> String {
    let tokens = store.read().await.unwrap();
    tokens.access_token.expose_secret().to_owned()
}

pub(crate) async fn refresh_of(store: &MemoryTokenStore) -> String {
    let tokens = store.read().await.unwrap();
    tokens.refresh_token.unwrap().expose_secret().to_owned()
}

/// The requests to one path.
pub(crate) async fn to(site: &Site, path: &str) -> Vec<Request> {
    let mut requests = site.requests().await;
    requests.retain(|request| request.url.path() == path);
    requests
}

pub(crate) async fn bearers(site: &Site) -> Vec<String> {
    let requests = to(site, AUDIT).await;
    let values = requests.iter().map(|r| header(r, "authorization"));
    values.map(str::to_owned).collect()
}

fn assert_token_request(request: &Request, expected: &Value) {
    assert_eq!(target(request), format!("POST {TOKEN}"));
    assert_headers(request, "application/json", None);
    assert_eq!(request.body, serde_json::to_vec(expected).unwrap());
}

#[tokio::test]
async fn a_code_is_traded_in_the_documented_words() {
    let site = Site::start().await;
    site.answers("POST", TOKEN, ["oauth-token/authorization-code"])
        .await;
    let tokens = site.exchange().await.unwrap();
    let expected = json!({
        "grant_type": "authorization_code",
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "code": "the-code",
        "redirect_uri": CALLBACK,
    });
    assert_token_request(&site.request().await, &expected);
    assert_eq!(tokens.access_token.expose_secret(), FIRST);
    assert_eq!(tokens.refresh_token.unwrap().expose_secret(), FIRST_REFRESH);
    assert_eq!(tokens.issued_at, NOW);
    assert_eq!(
        tokens.expires_at,
        NOW.saturating_add(Duration::from_hours(1))
    );
    assert_eq!(tokens.refresh_begun_at, None);
}

#[tokio::test]
async fn a_consent_without_offline_access_has_no_refresh_token() {
    let site = Site::start().await;
    let fixture = "oauth-token/authorization-code-without-offline-access";
    site.answers("POST", TOKEN, [fixture]).await;
    let tokens = site.exchange();
    assert!(tokens.await.unwrap().refresh_token.is_none());
}

#[tokio::test]
async fn a_refresh_token_is_traded_in_the_documented_words_and_its_successor_used() {
    for fixture in ["oauth-token/refresh-rotated", "oauth-token/unknown-fields"] {
        let site = Site::serving(["audit/single-page"]).await;
        site.answers("POST", TOKEN, [fixture]).await;
        let store = store_of(TokenSet::from_refresh_token(FIRST_REFRESH.into()));
        let client = site.client_with(site.oauth(store.clone()));
        client.audit(&AuditQuery::new()).await.unwrap();
        let expected = json!({
            "grant_type": "refresh_token",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "refresh_token": FIRST_REFRESH,
        });
        assert_token_request(&site.requests().await[0], &expected);
        assert_eq!(bearers(&site).await, [format!("Bearer {SECOND}")]);
        assert_eq!(access_of(&store).await, SECOND);
        assert_eq!(refresh_of(&store).await, SECOND_REFRESH);
    }
}

#[tokio::test]
async fn a_service_account_asks_in_the_documented_words_and_keeps_its_token_while_it_lasts() {
    let site = Site::serving(["audit/single-page"; 3]).await;
    site.answers("POST", TOKEN, ["oauth-token/client-credentials"; 2])
        .await;
    let client = site.client_with(site.service_account());
    client.audit(&AuditQuery::new()).await.unwrap();
    client.audit(&AuditQuery::new()).await.unwrap();
    let asked = to(&site, TOKEN).await;
    assert_eq!(asked.len(), 1);
    let expected = json!({
        "grant_type": "client_credentials",
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
    });
    assert_token_request(&asked[0], &expected);
    site.clock.advance(Duration::from_mins(55));
    client.audit(&AuditQuery::new()).await.unwrap();
    assert_eq!(to(&site, TOKEN).await.len(), 2);
}

#[tokio::test]
async fn a_token_is_renewed_shortly_before_it_runs_out_and_not_sooner() {
    // Five minutes early or a quarter of a short life, spread by the jitter.
    for (life, random, early) in [
        (3600, 0.5, 300),
        (3600, 0.0, 210),
        (3600, 1.0, 390),
        (600, 0.5, 150),
    ] {
        let site = Site::serving(["audit/single-page"; 2]).await;
        site.answers("POST", TOKEN, ["oauth-token/refresh-rotated"])
            .await;
        site.clock.set_random(random);
        let store = store_of(lasting(FIRST, FIRST_REFRESH, life));
        let client = site.client_with(site.oauth(store));
        site.clock.advance(Duration::from_secs(life - early - 1));
        client.audit(&AuditQuery::new()).await.unwrap();
        site.clock.advance(Duration::from_secs(1));
        client.audit(&AuditQuery::new()).await.unwrap();
        let expected = [format!("Bearer {FIRST}"), format!("Bearer {SECOND}")];
        assert_eq!(bearers(&site).await, expected, "{life} {random}");
    }
}

#[tokio::test]
async fn where_the_service_does_not_rotate_the_old_refresh_token_goes_on() {
    let site = Site::serving(["audit/single-page"]).await;
    let fixture = "oauth-token/authorization-code-without-offline-access";
    site.answers("POST", TOKEN, [fixture]).await;
    let store = store_of(TokenSet::from_refresh_token("kept".into()));
    let client = site.client_with(site.oauth(store.clone()));
    client.audit(&AuditQuery::new()).await.unwrap();
    assert_eq!(refresh_of(&store).await, "kept");
    assert_eq!(access_of(&store).await, FIRST);
}

#[tokio::test]
async fn eight_at_once_renew_the_token_once() {
    let site = Site::serving(["audit/single-page"; 8]).await;
    site.answers("POST", TOKEN, ["oauth-token/refresh-rotated"])
        .await;
    let store = store_of(TokenSet::from_refresh_token(FIRST_REFRESH.into()));
    let client = site.client_with(site.oauth(store));
    let query = AuditQuery::new();
    for page in join_all((0..8).map(|_| client.audit(&query))).await {
        page.unwrap();
    }
    assert_eq!(to(&site, TOKEN).await.len(), 1);
    assert_eq!(bearers(&site).await, vec![format!("Bearer {SECOND}"); 8]);
}

#[tokio::test]
async fn holders_that_share_a_store_renew_the_token_once() {
    let site = Site::serving(["audit/single-page"; 8]).await;
    site.answers("POST", TOKEN, ["oauth-token/refresh-rotated"])
        .await;
    let store = store_of(TokenSet::from_refresh_token(FIRST_REFRESH.into()));
    let clients: Vec<_> = (0..8)
        .map(|_| site.client_with(site.oauth(store.clone())))
        .collect();
    let query = AuditQuery::new();
    for page in join_all(clients.iter().map(|client| client.audit(&query))).await {
        page.unwrap();
    }
    assert_eq!(to(&site, TOKEN).await.len(), 1);
    assert_eq!(bearers(&site).await, vec![format!("Bearer {SECOND}"); 8]);
}

#[tokio::test]
async fn eight_that_were_refused_at_once_renew_the_token_once() {
    let site = Site::start().await;
    let by_token = |request: &Request| {
        let accepted = header(request, "authorization") == format!("Bearer {SECOND}");
        let fixture = if accepted {
            "audit/single-page"
        } else {
            "errors/401-expired"
        };
        Fixture::read(fixture).template()
    };
    site.responds("GET", AUDIT, 16, by_token).await;
    site.answers("POST", TOKEN, ["oauth-token/refresh-rotated"])
        .await;
    let client = site.client_with(site.oauth(store_of(first())));
    let query = AuditQuery::new();
    for page in join_all((0..8).map(|_| client.audit(&query))).await {
        page.unwrap();
    }
    assert_eq!(to(&site, TOKEN).await.len(), 1);
}

#[tokio::test]
async fn a_renewal_that_fails_early_leaves_the_old_token_in_use_without_hammering() {
    let site = Site::serving(["audit/single-page"; 5]).await;
    site.answers("POST", TOKEN, ["errors/500", "oauth-token/refresh-rotated"])
        .await;
    let client = site.client_with(site.oauth(store_of(first())));
    let query = AuditQuery::new();
    client.audit(&query).await.unwrap();
    site.clock.advance(Duration::from_mins(55));
    client.audit(&query).await.unwrap();
    assert_eq!(to(&site, TOKEN).await.len(), 1);
    site.clock.advance(Duration::from_secs(29));
    client.audit(&query).await.unwrap();
    client.audit(&query).await.unwrap();
    assert_eq!(to(&site, TOKEN).await.len(), 1);
    assert_eq!(bearers(&site).await, vec![format!("Bearer {FIRST}"); 4]);
    site.clock.advance(Duration::from_secs(1));
    client.audit(&query).await.unwrap();
    assert_eq!(to(&site, TOKEN).await.len(), 2);
    assert_eq!(bearers(&site).await[4], format!("Bearer {SECOND}"));
}

#[tokio::test]
async fn a_token_that_has_run_out_is_not_used_when_its_renewal_fails() {
    let site = Site::serving(["audit/single-page"]).await;
    site.answers("POST", TOKEN, ["errors/500"; 2]).await;
    let client = site.client_with(site.oauth(store_of(first())));
    let query = AuditQuery::new();
    client.audit(&query).await.unwrap();
    site.clock.advance(Duration::from_hours(1));
    for _ in 0..2 {
        let error = client.audit(&query).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server);
        assert!(error.to_string().contains("/oauth/token"), "{error}");
    }
    assert_eq!(bearers(&site).await.len(), 1);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_page_asked_for_again() {
    let site = Site::serving(["errors/401-expired", "audit/single-page"]).await;
    site.answers("POST", TOKEN, ["oauth-token/refresh-rotated"])
        .await;
    let client = site.client_with(site.oauth(store_of(first())));
    client.audit(&AuditQuery::new()).await.unwrap();
    let asked = [
        format!("GET {AUDIT}"),
        format!("POST {TOKEN}"),
        format!("GET {AUDIT}"),
    ];
    assert_eq!(site.targets().await, asked);
    let expected = [format!("Bearer {FIRST}"), format!("Bearer {SECOND}")];
    assert_eq!(bearers(&site).await, expected);
    assert!(site.clock.waits().is_empty());
    let stats = site.http.stats();
    assert_eq!((stats.requests, stats.retries), (3, 1));
}

#[tokio::test]
async fn a_renewed_token_that_is_refused_too_is_an_error_and_not_renewed_again() {
    for fixture in [
        "errors/401-expired",
        "errors/401-empty",
        "errors/401-basic-html",
        "accessible-resources/unauthorized",
    ] {
        let site = Site::serving([fixture; 2]).await;
        site.answers("POST", TOKEN, ["oauth-token/refresh-rotated"])
            .await;
        let client = site.client_with(site.oauth(store_of(first())));
        let error = client.audit(&AuditQuery::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{fixture}");
        assert_eq!(error.attempts(), 2);
        assert_eq!(error.request_ids().len(), 2);
    }
}

#[tokio::test]
async fn a_missing_scope_is_not_mended_by_a_renewal() {
    let site = Site::serving(["errors/401-scope-mismatch"]).await;
    let client = site.client_with(site.oauth(store_of(first())));
    let error = client.audit(&AuditQuery::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingScope);
    assert!(to(&site, TOKEN).await.is_empty());
}

#[tokio::test]
async fn a_refused_token_of_a_service_account_is_replaced_once() {
    let site = Site::serving([
        "audit/single-page",
        "errors/401-expired",
        "audit/single-page",
    ])
    .await;
    site.answers("POST", TOKEN, ["oauth-token/client-credentials"])
        .await;
    site.answers("POST", TOKEN, ["oauth-token/refresh-rotated"])
        .await;
    let client = site.client_with(site.service_account());
    client.audit(&AuditQuery::new()).await.unwrap();
    client.audit(&AuditQuery::new()).await.unwrap();
    assert_eq!(bearers(&site).await[2], format!("Bearer {SECOND}"));
}

#[tokio::test]
async fn each_refusal_of_the_token_endpoint_says_who_can_mend_it() {
    let mut shown = Vec::new();
    for (fixture, kind) in [
        ("error-refresh-token-invalid", ErrorKind::ConsentRequired),
        ("error-refresh-token-unknown", ErrorKind::ConsentRequired),
        ("error-wrong-code", ErrorKind::ConsentRequired),
        ("error-wrong-client-secret", ErrorKind::ClientRejected),
        ("error-redirect-uri", ErrorKind::Rejected),
        ("not-a-token", ErrorKind::UnexpectedJson),
    ] {
        let name = format!("oauth-token/{fixture}");
        let site = Site::start().await;
        site.answers("POST", TOKEN, [name.as_str()]).await;
        let store = store_of(TokenSet::from_refresh_token(FIRST_REFRESH.into()));
        let client = site.client_with(site.oauth(store.clone()));
        let error = client.audit(&AuditQuery::new()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{fixture}");
        assert_eq!(
            error.status(),
            Some(Fixture::read(&name).status),
            "{fixture}"
        );
        let id = Fixture::read(&name)
            .header("atl-request-id")
            .unwrap()
            .to_owned();
        assert_eq!(error.request_ids(), [id], "{fixture}");
        assert_eq!(refresh_of(&store).await, FIRST_REFRESH, "{fixture}");
        shown.push(format!(
            "{fixture}\n  {kind:?}: {}",
            site.portless(&error.to_string())
        ));
    }
    insta::assert_snapshot!(shown.join("\n"));
}

#[tokio::test]
async fn a_token_endpoint_that_is_busy_or_broken_is_asked_again_as_any_other() {
    for (fixture, kind) in [
        ("oauth-token/error-rate-limited", ErrorKind::RateLimited),
        ("oauth-token/error-html", ErrorKind::Server),
    ] {
        let site = Site::start().await;
        site.answers("POST", TOKEN, [fixture; 5]).await;
        let store = store_of(TokenSet::from_refresh_token(FIRST_REFRESH.into()));
        let client = site.client_with(site.oauth(store));
        let error = client.audit(&AuditQuery::new()).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (kind, 5), "{fixture}");
        assert_eq!(site.clock.waits(), [2.0, 4.0, 8.0, 16.0]);
    }
}

#[tokio::test]
async fn a_token_without_the_scope_is_found_out_by_the_log_and_not_guessed() {
    let site = Site::serving(["errors/401-scope-mismatch"]).await;
    let fixture = "oauth-token/refresh-without-scope-for-audit";
    site.answers("POST", TOKEN, [fixture]).await;
    let store = store_of(TokenSet::from_refresh_token(FIRST_REFRESH.into()));
    let client = site.client_with(site.oauth(store));
    let error = client.audit(&AuditQuery::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingScope);
}

#[tokio::test]
async fn without_a_refresh_token_a_person_has_to_consent_and_nothing_is_asked() {
    let site = Site::start().await;
    let mut tokens = first();
    tokens.refresh_token = None;
    let client = site.client_with(site.oauth(store_of(tokens)));
    site.clock.advance(Duration::from_hours(1));
    let error = client.audit(&AuditQuery::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConsentRequired);
    assert!(error.is_credentials());
    assert!(error.to_string().contains("offline_access"), "{error}");
    assert!(site.requests().await.is_empty());
}

#[tokio::test]
async fn a_life_that_is_missing_odd_or_in_a_string_is_an_hour_or_what_it_says() {
    for (expires_in, seconds) in [
        (json!(null), 3600),
        (json!("1800"), 1800),
        (json!("soon"), 3600),
        (json!(-1), 3600),
        (json!(0), 3600),
        (json!([]), 3600),
        (json!(7200), 7200),
    ] {
        let site = Site::start().await;
        let body = json!({"access_token": "t", "expires_in": expires_in});
        let template = ResponseTemplate::new(200).set_body_json(body);
        site.responds("POST", TOKEN, 1, template).await;
        let tokens = site.exchange();
        let expected = NOW.saturating_add(Duration::from_secs(seconds));
        assert_eq!(tokens.await.unwrap().expires_at, expected, "{expires_in}");
    }
}

#[tokio::test]
async fn a_token_that_says_to_last_no_time_is_not_bought_for_every_request() {
    let site = Site::serving(["audit/single-page"; 3]).await;
    let body = json!({"access_token": "t", "expires_in": 0});
    let template = ResponseTemplate::new(200).set_body_json(body);
    site.responds("POST", TOKEN, 1, template).await;
    let client = site.client_with(site.service_account());
    for _ in 0..3 {
        client.audit(&AuditQuery::new()).await.unwrap();
    }
}

#[tokio::test]
async fn an_empty_token_is_no_token() {
    for access in ["", " "] {
        let site = Site::start().await;
        let body = json!({"access_token": access, "expires_in": 3600});
        let template = ResponseTemplate::new(200).set_body_json(body);
        site.responds("POST", TOKEN, 1, template).await;
        let error = site.exchange().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedJson);
    }
    let site = Site::serving(["audit/single-page"]).await;
    let body = json!({"access_token": "t", "refresh_token": "", "expires_in": 3600});
    let template = ResponseTemplate::new(200).set_body_json(body);
    site.responds("POST", TOKEN, 1, template).await;
    let store = store_of(TokenSet::from_refresh_token("kept".into()));
    let client = site.client_with(site.oauth(store.clone()));
    client.audit(&AuditQuery::new()).await.unwrap();
    assert_eq!(refresh_of(&store).await, "kept");
}
