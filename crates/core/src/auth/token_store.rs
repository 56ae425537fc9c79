//! The token store: where OAuth tokens are kept between uses.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::error::Error;
use crate::time::Timestamp;

/// The tokens of one consent.
#[derive(Clone)]
#[non_exhaustive]
pub struct TokenSet {
    /// What lets a request in.
    pub access_token: SecretString,
    /// What the next access token is bought with; the service replaces it at each use. A service
    /// account has none.
    pub refresh_token: Option<SecretString>,
    /// When the access token was issued, by this host's clock.
    pub issued_at: Timestamp,
    /// When the access token runs out, by this host's clock.
    pub expires_at: Timestamp,
    /// When a refresh was begun whose end is not known: kept before the request is made, cleared
    /// by the tokens that it brings.
    pub refresh_begun_at: Option<Timestamp>,
}

impl TokenSet {
    /// A set with nothing but a refresh token, as after a consent whose access token is gone.
    pub fn from_refresh_token(refresh_token: SecretString) -> Self {
        Self {
            refresh_token: Some(refresh_token),
            ..Self::none()
        }
    }

    /// A set that lets nobody in: the first use renews it.
    pub(crate) fn none() -> Self {
        let past = Timestamp::from_millis(0);
        Self {
            access_token: SecretString::default(),
            refresh_token: None,
            issued_at: past,
            expires_at: past,
            refresh_begun_at: None,
        }
    }

    pub(crate) fn is_valid(&self, now: Timestamp) -> bool {
        now < self.expires_at && !self.access_token.expose_secret().is_empty()
    }
}

/// Without the tokens.
impl fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSet")
            .field("has_refresh_token", &self.refresh_token.is_some())
            .field("issued_at", &self.issued_at)
            .field("expires_at", &self.expires_at)
            .field("refresh_begun_at", &self.refresh_begun_at)
            .finish_non_exhaustive()
    }
}

/// A place that keeps one [`TokenSet`] for all who share it: tasks, processes, hosts.
///
/// A refresh token is good for one use. So a refresh happens under [`lock`](Self::lock), reads
/// again what another holder may have written, and writes the new tokens before anything uses
/// them.
#[async_trait]
pub trait TokenStore: Send + Sync + fmt::Debug {
    /// The tokens as they stand, without waiting for a refresh under way.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TokenStore`] when they cannot be read.
    async fn read(&self) -> Result<TokenSet, Error>;

    /// Waits until nobody else who shares the store is refreshing.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TokenStore`] when the lock cannot be had.
    async fn lock(&self) -> Result<Box<dyn LockedTokens>, Error>;
}

/// The store while this holder alone may refresh; dropping it lets the next one in.
#[async_trait]
pub trait LockedTokens: Send {
    /// The tokens as they stand.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TokenStore`] when they cannot be read.
    async fn read(&mut self) -> Result<TokenSet, Error>;

    /// Replaces the tokens. When it returns they survive a crash, as far as this store keeps
    /// anything over one.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TokenStore`] when they cannot be written.
    async fn write(&mut self, tokens: &TokenSet) -> Result<(), Error>;
}

/// Keeps tokens in this process. What it holds is gone with the process, and with it a rotated
/// refresh token: for tests, and for tokens that can be had again.
#[derive(Clone, Debug)]
pub struct MemoryTokenStore {
    tokens: Arc<std::sync::Mutex<TokenSet>>,
    refreshing: Arc<Mutex<()>>,
}

impl MemoryTokenStore {
    /// A store that holds `tokens`.
    pub fn new(tokens: TokenSet) -> Self {
        Self {
            tokens: Arc::new(std::sync::Mutex::new(tokens)),
            refreshing: Arc::default(),
        }
    }

    fn tokens(&self) -> std::sync::MutexGuard<'_, TokenSet> {
        // A set is replaced whole, so one that a panic left behind is whole too.
        self.tokens
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

struct LockedMemory {
    store: MemoryTokenStore,
    _refreshing: OwnedMutexGuard<()>,
}

#[async_trait]
impl TokenStore for MemoryTokenStore {
    async fn read(&self) -> Result<TokenSet, Error> {
        Ok(self.tokens().clone())
    }

    async fn lock(&self) -> Result<Box<dyn LockedTokens>, Error> {
        let guard = self.refreshing.clone().lock_owned().await;
        Ok(Box::new(LockedMemory {
            store: self.clone(),
            _refreshing: guard,
        }))
    }
}

#[async_trait]
impl LockedTokens for LockedMemory {
    async fn read(&mut self) -> Result<TokenSet, Error> {
        Ok(self.store.tokens().clone())
    }

    async fn write(&mut self, tokens: &TokenSet) -> Result<(), Error> {
        *self.store.tokens() = tokens.clone();
        Ok(())
    }
}
