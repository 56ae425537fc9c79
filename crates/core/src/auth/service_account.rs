//! A service account: the client credentials grant, which needs nobody's consent.

use std::fmt;

use async_trait::async_trait;
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};

use super::bearer::Bearer;
use super::token_endpoint::{Grant, trade};
use super::{Authenticator, MemoryTokenStore, TokenSet};
use crate::{Error, Http, Origin};

/// Bearer tokens for the client id and secret of a service account.
///
/// They last an hour and there is no refresh token: a new one is asked for in time, and kept in
/// memory only.
pub struct ServiceAccount {
    auth: Origin,
    client_id: String,
    client_secret: SecretString,
    http: Http,
    store: MemoryTokenStore,
    bearer: Bearer,
}

impl ServiceAccount {
    /// Tokens from `auth` (`https://auth.atlassian.com`) for requests to `origin`, the API's
    /// gateway.
    pub fn new(
        http: Http,
        origin: Origin,
        auth: Origin,
        client_id: impl Into<String>,
        client_secret: SecretString,
    ) -> Self {
        let bearer = Bearer::new(http.clone(), origin);
        let store = MemoryTokenStore::new(TokenSet::none());
        Self {
            auth,
            client_id: client_id.into(),
            client_secret,
            http,
            store,
            bearer,
        }
    }
}

#[async_trait]
impl Authenticator for ServiceAccount {
    async fn headers(&self, origin: &Origin) -> Result<HeaderMap, Error> {
        let grant = Grant::ClientCredentials {
            client_id: &self.client_id,
            client_secret: self.client_secret.expose_secret(),
        };
        let renew = async |_: &TokenSet| trade(&self.http, &self.auth, &grant).await;
        self.bearer.headers(origin, &self.store, renew).await
    }

    async fn rejected(&self, headers: &HeaderMap) -> bool {
        self.bearer.rejected(headers).await
    }
}

/// Without the secret.
impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount")
            .field("auth", &self.auth)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}
