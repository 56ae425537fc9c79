//! OAuth 2.0 (3LO): the authorization code grant with rotating refresh tokens.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded::Serializer;

use super::AUDIT_SCOPE;
use super::bearer::{Bearer, Issuer};
use super::token_endpoint::{Grant, trade};
use super::token_store::{TokenSet, TokenStore};
use crate::error::{Error, ErrorKind};
use crate::http::Http;
use crate::http::authenticator::Authenticator;
use crate::http::origin::Origin;
use crate::time::Timestamp;

/// How long a refresh token works on after its first use.
const LEEWAY: Duration = Duration::from_mins(10);

/// An app of the developer console, at the host that issues its tokens.
#[derive(Clone)]
pub struct OAuthApp {
    auth: Origin,
    client_id: String,
    client_secret: SecretString,
}

impl OAuthApp {
    /// The app with this id and secret; `auth` is `https://auth.atlassian.com` but for tests.
    pub fn new(auth: Origin, client_id: impl Into<String>, client_secret: SecretString) -> Self {
        Self {
            auth,
            client_id: client_id.into(),
            client_secret,
        }
    }

    /// The address at which a person consents to have the audit log read, also when they are gone
    /// (`offline_access`). The answer comes to `redirect_uri`, with `state` as it is here: see
    /// [`AuthorizationStates`](crate::AuthorizationStates).
    pub fn authorization_url(&self, redirect_uri: &str, state: &str) -> String {
        let query = Serializer::new(String::new())
            .append_pair("audience", "api.atlassian.com")
            .append_pair("client_id", &self.client_id)
            .append_pair("scope", &format!("{AUDIT_SCOPE} offline_access"))
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("state", state)
            .append_pair("response_type", "code")
            .append_pair("prompt", "consent")
            .finish();
        format!("{}/authorize?{query}", self.auth)
    }

    /// Trades the code of a consent for its first tokens. A code works once.
    ///
    /// # Errors
    /// [`ErrorKind::ConsentRequired`] when the code was used or is too old;
    /// [`ErrorKind::ClientRejected`] when the secret is wrong; [`ErrorKind::Rejected`] when
    /// `redirect_uri` is not the one that the consent was asked for with.
    /// [`ErrorKind::CutBody`] when the answer broke off, which is not tried again: the code is
    /// used up, and a person has to consent again.
    pub async fn exchange(
        &self,
        http: &Http,
        code: &SecretString,
        redirect_uri: &str,
    ) -> Result<TokenSet, Error> {
        let grant = Grant::AuthorizationCode {
            client_id: &self.client_id,
            client_secret: self.client_secret.expose_secret(),
            code: code.expose_secret(),
            redirect_uri,
        };
        trade(http, &self.auth, &grant).await
    }
}

#[async_trait]
impl Issuer for OAuthApp {
    async fn renew(&self, http: &Http, tokens: &TokenSet) -> Result<TokenSet, Error> {
        let Some(refresh_token) = &tokens.refresh_token else {
            let message = "there is no refresh token: the consent was given without offline_access";
            return Err(Error::new(ErrorKind::ConsentRequired, message));
        };
        let grant = Grant::RefreshToken {
            client_id: &self.client_id,
            client_secret: self.client_secret.expose_secret(),
            refresh_token: refresh_token.expose_secret(),
        };
        let traded = trade(http, &self.auth, &grant).await;
        let mut renewed = traded.map_err(|error| cut_off(error, tokens, http.runtime().now()))?;
        // Where the service does not rotate, the old one goes on.
        renewed
            .refresh_token
            .get_or_insert_with(|| refresh_token.clone());
        Ok(renewed)
    }
}

/// Says of a refresh token that is refused that it may have been used already, by a refresh of
/// which only the beginning is known. It is tried all the same: there is no other.
fn cut_off(error: Error, tokens: &TokenSet, now: Timestamp) -> Error {
    match tokens.refresh_begun_at {
        Some(begun) if error.kind() == ErrorKind::ConsentRequired && now.since(begun) > LEEWAY => {
            let message = format!(
                "a refresh that was begun at {begun} was cut off before its answer was kept, and \
                 the old token was good for ten minutes more only"
            );
            Error::new(ErrorKind::ConsentRequired, message).with_source(error)
        }
        _ => error,
    }
}

/// Without the secret.
impl fmt::Debug for OAuthApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthApp")
            .field("auth", &self.auth)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// Bearer tokens of a consent, renewed before they run out.
///
/// One renewal at a time, in all tasks and processes that share the store; an early renewal that
/// fails leaves the old token in use while it lasts; a token that is refused is renewed once.
///
/// A renewal is a task of its own on tokio's runtime: it goes on when the request that needed it
/// is dropped, so that a rotated refresh token reaches the store. It ends with the runtime.
#[derive(Debug)]
pub struct OAuth(Bearer);

impl OAuth {
    /// Tokens from `store` for requests to `origin`, the API's gateway.
    pub fn new(http: Http, origin: Origin, app: OAuthApp, store: Arc<dyn TokenStore>) -> Self {
        Self(Bearer::new(http, origin, store, app))
    }
}

#[async_trait]
impl Authenticator for OAuth {
    async fn headers(&self, origin: &Origin) -> Result<HeaderMap, Error> {
        self.0.headers(origin).await
    }

    async fn rejected(&self, headers: &HeaderMap) -> bool {
        self.0.rejected(headers).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_asked_for_the_audit_log_and_for_no_more() {
        let auth = Origin::parse("https://auth.atlassian.com").unwrap();
        let app = OAuthApp::new(auth, "an id", "canary-secret".into());
        let url = app.authorization_url("http://localhost:9320/callback", "a&b");
        assert_eq!(
            url,
            "https://auth.atlassian.com/authorize?audience=api.atlassian.com&client_id=an+id\
             &scope=read%3Aaudit-log%3Aconfluence+offline_access\
             &redirect_uri=http%3A%2F%2Flocalhost%3A9320%2Fcallback&state=a%26b\
             &response_type=code&prompt=consent"
        );
    }
}
