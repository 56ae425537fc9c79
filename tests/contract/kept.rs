//! The store of tokens: what is read from it, and what is kept in it before it is used.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use confluence_audit_core::{
    AuditQuery, Error, ErrorKind, LockedTokens, MemoryTokenStore, TokenSet, TokenStore,
};
use secrecy::ExposeSecret as _;
use wiremock::Request;

use crate::clock::NOW;
use crate::fixture::Fixture;
use crate::oauth::{
    FIRST, FIRST_REFRESH, SECOND, SECOND_REFRESH, bearers, first, lasting, refresh_of, store_of, to,
};
use crate::site::{AUDIT, Site, TOKEN};

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
