//! A bearer token that is refreshed before it expires, once for all who wait for it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;

use super::only_for;
use super::token_store::{TokenSet, TokenStore};
use crate::error::{Error, ErrorKind};
use crate::http::Http;
use crate::http::origin::Origin;
use crate::time::Timestamp;

/// A token is renewed this long before it runs out, or when a quarter of its life is left,
/// whichever is later; both varied by a factor from 0.7 to 1.3, so that many collectors do not
/// come at once.
const EARLY: Duration = Duration::from_mins(5);

/// How long an early renewal that failed is not tried again, while the old token still works.
const PAUSE: Duration = Duration::from_secs(30);

/// How long a token that replaced a refused one is not replaced for being refused as well: a
/// service that refuses every token is not to be asked for another one at each request.
const REPLACED: Duration = Duration::from_mins(10);

/// How a token is had: what OAuth and service accounts differ in.
#[async_trait]
pub(super) trait Issuer: Send + Sync + fmt::Debug {
    /// New tokens for `tokens`.
    async fn renew(&self, http: &Http, tokens: &TokenSet) -> Result<TokenSet, Error>;
}

/// The part that OAuth and service accounts share: when to renew, who does it, and what happens
/// when it fails.
#[derive(Debug)]
pub(super) struct Bearer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    origin: Origin,
    http: Http,
    store: Arc<dyn TokenStore>,
    issuer: Box<dyn Issuer>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tokens: Option<TokenSet>,
    /// When the current token is to be renewed.
    due: Option<Timestamp>,
    /// The service has refused the current token.
    refused: bool,
    /// When a refused token was last replaced.
    replaced_at: Option<Timestamp>,
    renewal: Option<Renewal>,
}

/// A renewal under way, and in the end what it came to for all who waited. It is over when its
/// sender is gone.
type Renewal = watch::Receiver<Option<Result<HeaderMap, Error>>>;

impl Bearer {
    pub(super) fn new(
        http: Http,
        origin: Origin,
        store: Arc<dyn TokenStore>,
        issuer: impl Issuer + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            origin,
            http,
            store,
            issuer: Box::new(issuer),
            state: Mutex::default(),
        }))
    }

    /// The headers with a token that works for a while, renewed when it is due. All who come
    /// meanwhile wait for the one renewal and share its end.
    pub(super) async fn headers(&self, origin: &Origin) -> Result<HeaderMap, Error> {
        only_for(&self.0.origin, origin)?;
        let mut renewal = {
            let mut state = self.0.state();
            if let (Some(tokens), Some(due)) = (&state.tokens, state.due)
                && self.0.now() < due
                && !state.refused
            {
                return headers(&tokens.access_token);
            }
            match &state.renewal {
                Some(renewal) if renewal.has_changed().is_ok() => renewal.clone(),
                _ => self.begin(&mut state),
            }
        };
        let ended = renewal.wait_for(Option::is_some).await;
        ended.ok().and_then(|end| end.clone()).unwrap_or_else(|| {
            let message = "the renewal of the token was broken off";
            Err(Error::new(ErrorKind::TokenStore, message))
        })
    }

    /// Begins a renewal in a task of its own: whoever waits for it may be dropped at any time,
    /// but a refresh token that the service has rotated must reach the store.
    fn begin(&self, state: &mut State) -> Renewal {
        let (end, renewal) = watch::channel(None);
        state.renewal = Some(renewal.clone());
        let inner = Arc::clone(&self.0);
        let refused = state.tokens.clone().filter(|_| state.refused);
        tokio::spawn(async move {
            let renewed = inner.renew(refused.as_ref()).await;
            end.send_replace(Some(inner.settle(renewed)));
        });
        renewal
    }

    /// Whether the next headers will be others than `refused`, which the service did not accept.
    pub(super) async fn rejected(&self, refused: &HeaderMap) -> bool {
        let ours = {
            let mut state = self.0.state();
            let Some(tokens) = &state.tokens else {
                return true;
            };
            let ours = headers(&tokens.access_token).ok();
            if ours.as_ref().and_then(|ours| ours.get(AUTHORIZATION)) != refused.get(AUTHORIZATION)
            {
                return true;
            }
            let now = self.0.now();
            // It ran out on its way: the next one is had because it is due.
            if !tokens.is_valid(now) {
                return true;
            }
            let just_replaced = |at: Timestamp| at <= now && now < at.saturating_add(REPLACED);
            if !state.replaced_at.is_some_and(just_replaced) {
                state.refused = true;
                return true;
            }
            tokens.clone()
        };
        // Somebody else may have put a better one into the store, after a new consent, say.
        let kept = self.0.store.read().await;
        let has_other = kept.is_ok_and(|kept| self.0.is_good(&kept, Some(&ours)));
        self.0.state().refused |= has_other;
        has_other
    }
}

impl Inner {
    fn now(&self) -> Timestamp {
        self.http.runtime().now()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic stands between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the store's tokens if they are good, else renews them, under the store's lock.
    /// `refused` is a token that the service did not accept, however long it says it lasts.
    async fn renew(&self, refused: Option<&TokenSet>) -> Result<TokenSet, Error> {
        let tokens = self.store.read().await?;
        if self.is_good(&tokens, refused) {
            return Ok(tokens);
        }
        let mut locked = self.store.lock().await?;
        // Another holder may have renewed them while we waited: a second use of the same refresh
        // token is what kills a consent.
        let mut tokens = locked.read().await?;
        if self.is_good(&tokens, refused) {
            return Ok(tokens);
        }
        // A program that has just started falls back to it like one that has used it all along.
        self.state().tokens.get_or_insert_with(|| tokens.clone());
        // The first attempt without an answer is the one that the leeway counts from.
        tokens.refresh_begun_at.get_or_insert(self.now());
        locked.write(&tokens).await?;
        let renewed = self.issuer.renew(&self.http, &tokens).await?;
        // On disk before anything else happens with that answer.
        locked.write(&renewed).await?;
        Ok(renewed)
    }

    /// What a renewal that has ended comes to: new headers, or the old ones while they work.
    fn settle(&self, renewed: Result<TokenSet, Error>) -> Result<HeaderMap, Error> {
        // The renewal took its time, in which the old token may have run out.
        let now = self.now();
        let mut state = self.state();
        match renewed {
            Ok(tokens) => {
                if state.refused {
                    state.replaced_at = Some(now);
                }
                state.refused = false;
                state.due = Some(self.due(&tokens));
                let headers = headers(&tokens.access_token);
                state.tokens = Some(tokens);
                headers
            }
            Err(error) => match &state.tokens {
                Some(old) if old.is_valid(now) && !state.refused => {
                    tracing::warn!(kind = ?error.kind(), "the token could not be renewed; the old one is used while it lasts: {error}");
                    let headers = headers(&old.access_token);
                    state.due = Some(now.saturating_add(PAUSE).min(old.expires_at));
                    headers
                }
                _ => Err(error),
            },
        }
    }

    fn is_good(&self, tokens: &TokenSet, refused: Option<&TokenSet>) -> bool {
        let same = |refused: &TokenSet| {
            refused.access_token.expose_secret() == tokens.access_token.expose_secret()
        };
        self.now() < self.due(tokens) && !refused.is_some_and(same)
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
