//! Renewals that go wrong: that are dropped, drag on, fail, or bring tokens that are refused too.

use std::sync::Arc;
use std::time::Duration;

use confluence_audit_core::{
    AuditClient, AuditQuery, ErrorKind, MemoryTokenStore, Runtime as _, TokenSet, TokenStore,
};
use futures_util::future::join_all;
use secrecy::ExposeSecret as _;

use crate::clock::NOW;
use crate::fixture::Fixture;
use crate::oauth::lasting;
use crate::site::{AUDIT, Site, TOKEN};

fn store_of(tokens: TokenSet) -> Arc<MemoryTokenStore> {
    Arc::new(MemoryTokenStore::new(tokens))
}

/// A site whose log and whose token endpoint answer the same however often they are asked.
async fn site(log: &str, token: &str) -> Site {
    let site = Site::start().await;
    site.always(AUDIT, Fixture::read(log).template()).await;
    site.always(TOKEN, Fixture::read(token).template()).await;
    site
}

/// How often tokens were asked for.
async fn renewals(site: &Site) -> usize {
    let targets = site.targets().await;
    targets.iter().filter(|t| t.starts_with("POST")).count()
}

/// Asks for a page until the first request is under way, and then drops it.
async fn begin_and_drop(client: &AuditClient, site: &Site) {
    let query = AuditQuery::new();
    let mut first = Box::pin(client.audit(&query));
    while site.requests().await.is_empty() {
        assert!(futures_util::poll!(&mut first).is_pending());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_renewal_that_nobody_waits_for_any_more_still_puts_the_rotated_token_into_the_store() {
    let site = site("audit/single-page", "oauth-token/refresh-rotated").await;
    let store = store_of(TokenSet::from_refresh_token("r".into()));
    let client = site.client_with(site.oauth(store.clone()));
    begin_and_drop(&client, &site).await;
    // Whoever gets the lock gets it behind the renewal.
    let tokens = store.lock().await.unwrap().read().await.unwrap();
    let refresh = tokens.refresh_token.unwrap();
    assert_eq!(refresh.expose_secret(), "fixture.refresh-token.second");
}

#[tokio::test]
async fn a_renewal_that_is_cancelled_does_not_lose_the_rotated_token() {
    let site = site("audit/single-page", "oauth-token/refresh-rotated").await;
    let client = site.client_with(site.oauth(store_of(TokenSet::from_refresh_token("r".into()))));
    begin_and_drop(&client, &site).await;
    client.audit(&AuditQuery::new()).await.unwrap();
    assert_eq!(renewals(&site).await, 1);
}

#[tokio::test]
async fn a_renewal_that_fails_after_retries_is_not_begun_again_at_once() {
    let site = site("audit/single-page", "errors/503").await;
    let client = site.client_with(site.oauth(store_of(lasting("a", "r", 3600))));
    let query = AuditQuery::new();
    client.audit(&query).await.unwrap();
    site.clock.advance(Duration::from_mins(55));
    for _ in 0..3 {
        client.audit(&query).await.unwrap();
    }
    assert_eq!(renewals(&site).await, 5, "{:?}", site.clock.waits());
}

#[tokio::test]
async fn a_program_that_has_just_started_uses_the_stored_token_while_it_cannot_be_renewed() {
    let site = site("audit/single-page", "errors/503").await;
    site.clock.advance(Duration::from_mins(50));
    let mut tokens = lasting("a", "r", 3600);
    tokens.expires_at = site.clock.now().saturating_add(Duration::from_mins(5));
    let client = site.client_with(site.oauth(store_of(tokens)));
    client.audit(&AuditQuery::new()).await.unwrap();
    assert_eq!(renewals(&site).await, 5, "it was due");
    site.clock.advance(Duration::from_mins(5));
    client.audit(&AuditQuery::new()).await.unwrap_err();
}

#[tokio::test]
async fn a_token_that_ran_out_on_its_way_is_replaced_however_lately_the_last_one_was() {
    let site = Site::start().await;
    let store = store_of(lasting("first", "r", 60));
    let auth = site.oauth(store.clone());
    let first = auth.headers(&site.origin()).await.unwrap();
    assert!(auth.rejected(&first).await);
    let mut locked = store.lock().await.unwrap();
    locked.write(&lasting("second", "s", 60)).await.unwrap();
    drop(locked);
    let second = auth.headers(&site.origin()).await.unwrap();
    assert!(
        !auth.rejected(&second).await,
        "it was refused while it lasted"
    );
    site.clock.advance(Duration::from_secs(61));
    assert!(auth.rejected(&second).await);
}

#[tokio::test]
async fn a_token_that_ran_out_during_its_renewal_is_not_used() {
    let site = site("audit/single-page", "errors/503").await;
    let client = site.client_with(site.oauth(store_of(lasting("a", "r", 3600))));
    client.audit(&AuditQuery::new()).await.unwrap();
    site.clock.advance(Duration::from_secs(3590));
    let answer = client.audit(&AuditQuery::new()).await;
    let end = NOW.saturating_add(Duration::from_hours(1));
    assert!(
        answer.is_err(),
        "used {:?} after its end",
        site.clock.now().since(end)
    );
}

#[tokio::test]
async fn a_dead_consent_is_asked_for_once_by_all_who_wait() {
    let site = Site::start().await;
    let dead = "oauth-token/error-refresh-token-invalid";
    site.answers("POST", TOKEN, [dead]).await;
    let client = site.client_with(site.oauth(store_of(TokenSet::from_refresh_token("r".into()))));
    let query = AuditQuery::new();
    for answer in join_all((0..8).map(|_| client.audit(&query))).await {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConsentRequired);
        assert_eq!(error.status(), Some(403));
    }
}

#[tokio::test]
async fn a_service_that_refuses_every_new_token_is_not_asked_for_ever_more() {
    let site = site("errors/401-expired", "oauth-token/refresh-rotated").await;
    let client = site.client_with(site.oauth(store_of(lasting("a", "r", 3600))));
    let query = AuditQuery::new();
    for expected in [1, 1, 1, 2, 2] {
        let error = client.audit(&query).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized);
        assert_eq!(renewals(&site).await, expected);
        site.clock.advance(Duration::from_secs(299));
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_hold_up_the_next_renewal() {
    let site = site("errors/401-expired", "oauth-token/refresh-rotated").await;
    site.clock.advance(Duration::from_hours(24));
    let store = store_of(TokenSet::from_refresh_token("r".into()));
    let client = site.client_with(site.oauth(store));
    let query = AuditQuery::new();
    client.audit(&query).await.unwrap_err();
    assert_eq!(renewals(&site).await, 2);
    site.clock.set(NOW);
    client.audit(&query).await.unwrap_err();
    assert_eq!(renewals(&site).await, 3);
}

#[tokio::test]
async fn tokens_of_a_new_consent_are_taken_from_the_store_even_where_none_is_asked_for() {
    let site = Site::serving(["errors/401-expired"; 3]).await;
    let renewed = "oauth-token/refresh-rotated";
    site.answers("POST", TOKEN, [renewed]).await;
    let store = store_of(lasting("a", "r", 3600));
    let client = site.client_with(site.oauth(store.clone()));
    client.audit(&AuditQuery::new()).await.unwrap_err();
    let mut locked = store.lock().await.unwrap();
    let consented = lasting("of the new consent", "s", 3600);
    locked.write(&consented).await.unwrap();
    drop(locked);
    site.answers("GET", AUDIT, ["audit/single-page"]).await;
    client.audit(&AuditQuery::new()).await.unwrap();
    let requests = site.requests().await;
    let bearer = &requests.last().unwrap().headers["authorization"];
    assert_eq!(bearer, "Bearer of the new consent");
}
