//! A service account: the OAuth 2.0 client credentials grant.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};

use super::bearer::{Bearer, Issuer};
use super::token_endpoint::{Grant, trade};
use super::token_store::{MemoryTokenStore, TokenSet};
use crate::error::Error;
use crate::http::Http;
use crate::http::authenticator::Authenticator;
use crate::http::origin::Origin;

/// Bearer tokens for the client id and secret of a service account.
///
/// They last an hour and there is no refresh token: a new one is asked for in time, and kept in
/// memory only.
#[derive(Debug)]
pub struct ServiceAccount(Bearer);

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
        let store = Arc::new(MemoryTokenStore::new(TokenSet::none()));
        let client = Client {
            auth,
            id: client_id.into(),
            secret: client_secret,
        };
        Self(Bearer::new(http, origin, store, client))
    }
}

#[async_trait]
impl Authenticator for ServiceAccount {
    async fn headers(&self, origin: &Origin) -> Result<HeaderMap, Error> {
        self.0.headers(origin).await
    }

    async fn rejected(&self, headers: &HeaderMap) -> bool {
        self.0.rejected(headers).await
    }
}

/// What a service account proves itself with.
struct Client {
    auth: Origin,
    id: String,
    secret: SecretString,
}

#[async_trait]
impl Issuer for Client {
    async fn renew(&self, http: &Http, _: &TokenSet) -> Result<TokenSet, Error> {
        let grant = Grant::ClientCredentials {
            client_id: &self.id,
            client_secret: self.secret.expose_secret(),
        };
        trade(http, &self.auth, &grant).await
    }
}

/// Without the secret.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("auth", &self.auth)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
