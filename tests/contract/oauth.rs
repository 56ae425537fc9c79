//! Bearer tokens: asked for in the right words, renewed in time, by one at a time, and kept before
//! they are used.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use confluence_audit_core::{
    AuditQuery, Error, ErrorKind, LockedTokens, MemoryTokenStore, TokenSet, TokenStore,
};
use futures_util::future::join_all;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use wiremock::{Request, ResponseTemplate};

use crate::clock::NOW;
use crate::fixture::Fixture;
use crate::site::{
    AUDIT, CALLBACK, CLIENT_ID, CLIENT_SECRET, Site, TOKEN, assert_headers, header, target,
};

const FIRST: &str = "fixture.access-token.first";
const FIRST_REFRESH: &str = "fixture.refresh-token.first";
const SECOND: &str = "fixture.access-token.second";
const SECOND_REFRESH: &str = "fixture.refresh-token.second";

/// Tokens issued now that last for `seconds`.
pub(crate) fn lasting(access: &str, refresh: &str, seconds: u64) -> TokenSet {
    let mut tokens = TokenSet::from_refresh_token(refresh.into());
    tokens.access_token = access.into();
    tokens.issued_at = NOW;
    tokens.expires_at = NOW.saturating_add(Duration::from_secs(seconds));
    tokens
}

fn first() -> TokenSet {
    lasting(FIRST, FIRST_REFRESH, 3600)
}

fn store_of(tokens: TokenSet) -> Arc<MemoryTokenStore> {
    Arc::new(MemoryTokenStore::new(tokens))
}

async fn access_of(store: &MemoryTokenStore) -> String {
    let tokens = store.read().await.unwrap();
    tokens.access_token.expose_secret().to_owned()
}

async fn refresh_of(store: &MemoryTokenStore) -> String {
    let tokens = store.read().await.unwrap();
    tokens.refresh_token.unwrap().expose_secret().to_owned()
}

/// The requests to one path.
async fn to(site: &Site, path: &str) -> Vec<Request> {
    let mut requests = site.requests().await;
    requests.retain(|request| request.url.path() == path);
    requests
}

async fn bearers(site: &Site) -> Vec<String> {
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

type Events = Arc<Mutex<Vec<String>>>;

/// A store that says what is done with it, and can be told to fail or to have been overtaken.
#[derive(Clone, Debug)]
struct Watched {
    tokens: MemoryTokenStore,
    events: Events,
    /// What another holder writes while this one waits for the lock.
    overtaken: Option<TokenSet>,
    /// The write that fails, counted from one.
    failing: Option<usize>,
}

struct WatchedLock {
    store: Watched,
    locked: Box<dyn LockedTokens>,
    writes: usize,
}

impl Watched {
    fn new(tokens: TokenSet) -> Self {
        Self {
            tokens: MemoryTokenStore::new(tokens),
            events: Events::default(),
            overtaken: None,
            failing: None,
        }
    }

    fn says(&self, event: impl Into<String>) {
        self.events.lock().unwrap().push(event.into());
    }

    fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }
}

#[async_trait]
impl TokenStore for Watched {
    async fn read(&self) -> Result<TokenSet, Error> {
        self.says("read");
        self.tokens.read().await
    }

    async fn lock(&self) -> Result<Box<dyn LockedTokens>, Error> {
        self.says("lock");
        let mut locked = self.tokens.lock().await?;
        if let Some(tokens) = &self.overtaken {
            locked.write(tokens).await?;
        }
        Ok(Box::new(WatchedLock {
            store: self.clone(),
            locked,
            writes: 0,
        }))
    }
}

#[async_trait]
impl LockedTokens for WatchedLock {
    async fn read(&mut self) -> Result<TokenSet, Error> {
        self.store.says("read under lock");
        self.locked.read().await
    }

    async fn write(&mut self, tokens: &TokenSet) -> Result<(), Error> {
        self.writes += 1;
        if self.store.failing == Some(self.writes) {
            self.store.says("write fails");
            return Err(Error::new(ErrorKind::TokenStore, "the disk is full"));
        }
        let access = tokens.access_token.expose_secret();
        let begun = tokens.refresh_begun_at.is_some();
        self.store.says(format!("write {access}, begun: {begun}"));
        self.locked.write(tokens).await
    }
}

impl Drop for WatchedLock {
    fn drop(&mut self) {
        self.store.says("unlock");
    }
}

/// A site that says what it is asked among the events of the store.
async fn watched_site(store: &Watched, asked: u64, renewed: u64) -> Site {
    let site = Site::start().await;
    let saying = |store: &Watched, fixture: &'static str| {
        let store = store.clone();
        move |request: &Request| {
            let bearer = request.headers.get("authorization");
            let bearer = bearer.map_or("", |value| value.to_str().unwrap());
            store.says(format!("{} {bearer}", request.method).trim_end());
            Fixture::read(fixture).template()
        }
    };
    if asked > 0 {
        let answer = saying(store, "audit/single-page");
        site.responds("GET", AUDIT, asked, answer).await;
    }
    if renewed > 0 {
        let answer = saying(store, "oauth-token/refresh-rotated");
        site.responds("POST", TOKEN, renewed, answer).await;
    }
    site
}

#[tokio::test]
async fn a_rotated_refresh_token_is_kept_before_its_access_token_is_used() {
    let mut tokens = first();
    tokens.expires_at = NOW;
    let store = Watched::new(tokens);
    let site = watched_site(&store, 1, 1).await;
    let client = site.client_with(site.oauth(Arc::new(store.clone())));
    client.audit(&AuditQuery::new()).await.unwrap();
    insta::assert_snapshot!(store.events().join("\n"), @r"
    read
    lock
    read under lock
    write fixture.access-token.first, begun: true
    POST
    write fixture.access-token.second, begun: false
    unlock
    GET Bearer fixture.access-token.second
    ");
}

#[tokio::test]
async fn a_token_that_lasts_is_read_without_the_lock_and_then_not_again() {
    let store = Watched::new(first());
    let site = watched_site(&store, 2, 0).await;
    let client = site.client_with(site.oauth(Arc::new(store.clone())));
    client.audit(&AuditQuery::new()).await.unwrap();
    client.audit(&AuditQuery::new()).await.unwrap();
    let get = format!("GET Bearer {FIRST}");
    assert_eq!(store.events(), ["read", &get, &get]);
}

#[tokio::test]
async fn a_token_that_another_holder_renewed_meanwhile_is_taken_and_not_renewed_again() {
    let mut tokens = first();
    tokens.expires_at = NOW;
    let mut store = Watched::new(tokens);
    store.overtaken = Some(lasting(SECOND, SECOND_REFRESH, 3600));
    let site = watched_site(&store, 1, 0).await;
    let client = site.client_with(site.oauth(Arc::new(store.clone())));
    client.audit(&AuditQuery::new()).await.unwrap();
    insta::assert_snapshot!(store.events().join("\n"), @r"
    read
    lock
    read under lock
    unlock
    GET Bearer fixture.access-token.second
    ");
}

#[tokio::test]
async fn a_refused_token_that_another_holder_has_replaced_is_not_renewed_again() {
    let site = Site::serving([
        "audit/single-page",
        "errors/401-expired",
        "audit/single-page",
    ])
    .await;
    let store = store_of(first());
    let client = site.client_with(site.oauth(store.clone()));
    client.audit(&AuditQuery::new()).await.unwrap();
    let mut locked = store.lock().await.unwrap();
    let tokens = lasting(SECOND, SECOND_REFRESH, 3600);
    locked.write(&tokens).await.unwrap();
    drop(locked);
    client.audit(&AuditQuery::new()).await.unwrap();
    assert!(to(&site, TOKEN).await.is_empty());
    assert_eq!(bearers(&site).await[2], format!("Bearer {SECOND}"));
}

#[tokio::test]
async fn a_renewal_that_cannot_be_noted_is_not_begun() {
    let mut store = Watched::new(TokenSet::from_refresh_token(FIRST_REFRESH.into()));
    store.failing = Some(1);
    let site = watched_site(&store, 0, 0).await;
    let client = site.client_with(site.oauth(Arc::new(store.clone())));
    let error = client.audit(&AuditQuery::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TokenStore);
    assert_eq!(
        store.events(),
        ["read", "lock", "read under lock", "write fails", "unlock"]
    );
}

#[tokio::test]
async fn new_tokens_that_cannot_be_kept_are_not_used() {
    let mut store = Watched::new(TokenSet::from_refresh_token(FIRST_REFRESH.into()));
    store.failing = Some(2);
    let site = watched_site(&store, 0, 1).await;
    let client = site.client_with(site.oauth(Arc::new(store.clone())));
    let error = client.audit(&AuditQuery::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TokenStore);
    assert_eq!(store.events().last().unwrap(), "unlock");
}

#[tokio::test]
async fn a_renewal_whose_end_is_unknown_is_noted_in_the_store() {
    let site = Site::start().await;
    site.answers("POST", TOKEN, ["errors/500"]).await;
    let store = store_of(TokenSet::from_refresh_token(FIRST_REFRESH.into()));
    let client = site.client_with(site.oauth(store.clone()));
    client.audit(&AuditQuery::new()).await.unwrap_err();
    let tokens = store.read().await.unwrap();
    assert_eq!(tokens.refresh_begun_at, Some(NOW));
    assert_eq!(refresh_of(&store).await, FIRST_REFRESH);
}
