//! Credentials of every kind: what a request carries, and where it is never sent.

use std::sync::Arc;

use confluence_audit_core::{
    AuditClient, AuditQuery, Authenticator, ErrorKind, MemoryTokenStore, accessible_resources,
};
use http::header::AUTHORIZATION;

use crate::oauth::lasting;
use crate::site::{AUDIT, BASIC, Site, TOKEN, assert_get};

/// One of each kind, for `site`, none of which has to renew anything but the service account.
fn every_kind(site: &Site) -> [Arc<dyn Authenticator>; 3] {
    let store = MemoryTokenStore::new(lasting("the-access", "the-refresh", 3600));
    [
        site.api_token(),
        site.oauth(Arc::new(store)),
        site.service_account(),
    ]
}

#[tokio::test]
async fn each_kind_sends_its_own_credential() {
    let credentials = [
        BASIC,
        "Bearer the-access",
        "Bearer fixture.access-token.service",
    ];
    let site = Site::serving(["audit/single-page"; 3]).await;
    site.answers("POST", TOKEN, ["oauth-token/client-credentials"])
        .await;
    for auth in every_kind(&site) {
        let client = site.client_with(auth);
        client.audit(&AuditQuery::new()).await.unwrap();
    }
    let mut requests = site.requests().await;
    requests.retain(|request| request.method == "GET");
    for (request, credential) in requests.iter().zip(credentials) {
        assert_get(request, AUDIT, Some(credential));
    }
    assert_eq!(requests.len(), 3);
}

#[tokio::test]
async fn a_credential_is_refused_to_any_other_origin_before_anything_is_sent() {
    let (site, other) = (Site::start().await, Site::start().await);
    for auth in every_kind(&site) {
        let client = AuditClient::new(site.http.clone(), other.gateway(), auth.clone());
        let error = client.audit(&AuditQuery::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{auth:?}");
        assert!(error.to_string().contains("not sent"), "{error}");
        let error = accessible_resources(&site.http, &other.origin(), &*auth)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{auth:?}");
    }
    assert!(site.requests().await.is_empty());
    assert!(other.requests().await.is_empty());
}

#[tokio::test]
async fn the_authorization_header_is_marked_sensitive() {
    let site = Site::start().await;
    site.answers("POST", TOKEN, ["oauth-token/client-credentials"])
        .await;
    for auth in every_kind(&site) {
        let headers = auth.headers(&site.origin()).await.unwrap();
        assert_eq!(headers.len(), 1);
        assert!(headers[AUTHORIZATION].is_sensitive(), "{auth:?}");
    }
}

#[tokio::test]
async fn an_api_token_that_is_refused_is_sent_once() {
    let site = Site::serving(["errors/401-unauthorized"]).await;
    let error = site.client().audit(&AuditQuery::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert_eq!(error.attempts(), 1);
}
