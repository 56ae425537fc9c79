//! A bearer token that is renewed in time, once for all who wait for it.

use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use super::{TokenSet, TokenStore, only_for};
use crate::{Error, ErrorKind, Http, Origin, Timestamp};

/// A token is renewed this long before it runs out, or when a quarter of its life is left,
/// whichever is later; both varied by a factor from 0.7 to 1.3, so that many collectors do not
/// come at once.
const EARLY: Duration = Duration::from_mins(5);

/// How long an early renewal that failed is not tried again, while the old token still works.
const PAUSE: Duration = Duration::from_secs(30);

/// The part that OAuth and service accounts share: when to renew, who does it, and what happens
/// when it fails. How a token is renewed is handed in.
#[derive(Debug)]
pub(super) struct Bearer {
    origin: Origin,
    http: Http,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tokens: Option<TokenSet>,
    /// When the current token is to be renewed.
    due: Option<Timestamp>,
    /// The service has refused the current token.
    refused: bool,
}

impl Bearer {
    pub(super) fn new(http: Http, origin: Origin) -> Self {
        Self {
            origin,
            http,
            state: Mutex::default(),
        }
    }

    /// The headers with a token that works for a while, renewed by `renew` when it is due. Others
    /// wait meanwhile and get the same token.
    pub(super) async fn headers(
        &self,
        origin: &Origin,
        store: &dyn TokenStore,
        renew: impl AsyncFnOnce(&TokenSet) -> Result<TokenSet, Error>,
    ) -> Result<HeaderMap, Error> {
        only_for(&self.origin, origin)?;
        let mut state = self.state.lock().await;
        let now = self.http.runtime().now();
        let refused = state.refused;
        if let (Some(tokens), Some(due)) = (&state.tokens, state.due)
            && now < due
            && !refused
        {
            return headers(&tokens.access_token);
        }
        let renewed = self
            .renew(store, state.tokens.as_ref().filter(|_| refused), renew)
            .await;
        match renewed {
            Ok(tokens) => {
                state.due = Some(self.due(&tokens));
                state.refused = false;
                let headers = headers(&tokens.access_token);
                state.tokens = Some(tokens);
                headers
            }
            Err(error) => match &state.tokens {
                Some(old) if old.is_valid(now) && !refused => {
                    tracing::warn!(kind = ?error.kind(), "the token could not be renewed; the old one is used while it lasts: {error}");
                    let headers = headers(&old.access_token);
                    state.due = Some(now.saturating_add(PAUSE).min(old.expires_at));
                    headers
                }
                _ => Err(error),
            },
        }
    }

    /// Takes the store's tokens if they are good, else renews them, under the store's lock.
    /// `refused` is a token that the service did not accept, however long it says it lasts.
    async fn renew(
        &self,
        store: &dyn TokenStore,
        refused: Option<&TokenSet>,
        renew: impl AsyncFnOnce(&TokenSet) -> Result<TokenSet, Error>,
    ) -> Result<TokenSet, Error> {
        let good = |tokens: &TokenSet| {
            self.http.runtime().now() < self.due(tokens)
                && refused.is_none_or(|refused| {
                    refused.access_token.expose_secret() != tokens.access_token.expose_secret()
                })
        };
        let tokens = store.read().await?;
        if good(&tokens) {
            return Ok(tokens);
        }
        let mut locked = store.lock().await?;
        // Another holder may have renewed them while we waited: a second use of the same refresh
        // token is what kills a consent.
        let mut tokens = locked.read().await?;
        if good(&tokens) {
            return Ok(tokens);
        }
        tokens.refresh_begun_at = Some(self.http.runtime().now());
        locked.write(&tokens).await?;
        let renewed = renew(&tokens).await?;
        // On disk before anything else happens with that answer.
        locked.write(&renewed).await?;
        Ok(renewed)
    }

    fn due(&self, tokens: &TokenSet) -> Timestamp {
        if !tokens.is_valid(tokens.issued_at) {
            return tokens.issued_at;
        }
        let life = tokens.expires_at.since(tokens.issued_at);
        let jitter = 0.7 + 0.6 * self.http.runtime().random();
        tokens
            .expires_at
            .saturating_sub(EARLY.min(life / 4).mul_f64(jitter))
    }

    /// Whether the next headers will be others than `headers`, which the service refused.
    pub(super) async fn rejected(&self, refused: &HeaderMap) -> bool {
        let mut state = self.state.lock().await;
        let Some(tokens) = &state.tokens else {
            return true;
        };
        let ours = headers(&tokens.access_token).ok();
        if ours.as_ref().and_then(|ours| ours.get(AUTHORIZATION)) == refused.get(AUTHORIZATION) {
            state.refused = true;
        }
        true
    }
}

fn headers(token: &SecretString) -> Result<HeaderMap, Error> {
    let text = SecretString::from(format!("Bearer {}", token.expose_secret()));
    let mut value = HeaderValue::from_str(text.expose_secret()).map_err(|_| {
        Error::new(
            ErrorKind::UnexpectedJson,
            "the access token holds characters that no header can",
        )
    })?;
    value.set_sensitive(true);
    Ok(HeaderMap::from_iter([(AUTHORIZATION, value)]))
}
