//! The OAuth token file: one for all processes and tasks that share a consent.
//!
//! A refresh token is good for one use, so the new one must be on disk before anything is done with
//! it, and only one may refresh at a time. `core` decides when (under the lock: read again, note
//! the attempt, ask, write); here is how that survives a crash. The content is replaced whole:
//! written beside it, synced, renamed into its place, and the directory synced.

mod content;
mod lock;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use confluence_audit_core::{
    self as core, CloudId, LockedTokens, Origin, Timestamp, TokenSet, TokenStore,
};
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use tokio::task::spawn_blocking;

use crate::credentials::secret;
use crate::{Error, ErrorKind, Result, fs};

use self::lock::TokenLock;

/// A refresh token that is not used for so long dies.
const IDLE: Duration = Duration::from_hours(90 * 24);

/// A consent of this age ends, however much it is used.
const AGE: Duration = Duration::from_hours(365 * 24);

/// How long before its end a consent is warned of: time enough for a person to be asked.
const WARNING: Duration = Duration::from_hours(14 * 24);

/// What it is called in errors.
const WHAT: &str = "token file";

/// No token file is longer; what is longer is the wrong file.
const MAX_LEN: u64 = 256 * 1024;

/// Where the tokens of a consent are kept. Clones are the same file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFile {
    path: PathBuf,
}

/// What a token file says of the consent. It is written once; a refresh changes the tokens alone.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The app that the consent was given to.
    pub client_id: String,
    /// The app's secret.
    pub client_secret: SecretString,
    /// The site that it was given for.
    pub site: ConsentedSite,
    /// When it was given.
    pub given_at: Timestamp,
}

/// The site that a consent was given for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentedSite {
    /// Its cloud id.
    pub cloud_id: CloudId,
    /// Its name, to show.
    pub name: String,
    /// Its address, to show.
    pub url: String,
}

impl ConsentedSite {
    /// What it is called where a name becomes a part of file names: by its address, as a site is
    /// that `--site-url` names.
    pub fn name(&self) -> String {
        let host = Origin::parse(&self.url).map(|url| url.host().to_owned());
        let host = host.unwrap_or_else(|_| self.cloud_id.to_string());
        let name = host.strip_suffix(".atlassian.net").unwrap_or(&host);
        name.replace(|c| !fs::is_name_char(c), "-")
    }
}

/// What a token file holds.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The consent.
    pub consent: Grant,
    /// Its tokens as they stand.
    pub tokens: TokenSet,
}

impl Stored {
    /// When the consent dies if it is not used from now on: 90 days after its last refresh.
    pub fn ends_unused(&self) -> Timestamp {
        self.tokens.issued_at.saturating_add(IDLE)
    }

    /// When the consent ends in any case: after 365 days.
    pub fn ends(&self) -> Timestamp {
        self.consent.given_at.saturating_add(AGE)
    }

    /// What a person has to know by `now`: that the consent ends soon, or has ended by all that is
    /// known.
    pub fn warning(&self, now: Timestamp) -> Option<String> {
        let (end, why) = if self.ends_unused() < self.ends() {
            (self.ends_unused(), "90 days after its last use")
        } else {
            (self.ends(), "365 days after it was given")
        };
        let verb = if end <= now {
            "ended"
        } else if end.since(now) <= WARNING {
            "ends"
        } else {
            return None;
        };
        Some(format!(
            "the consent {verb} on {}, {why}: run confluence-audit-oauth-setup again",
            day(end)
        ))
    }
}

/// The date alone, for people.
pub fn day(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('T')
        .map_or(text.clone(), |(day, _)| day.to_owned())
}

impl TokenFile {
    /// The file at `path`, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds. Blocks until it is read.
    ///
    /// # Errors
    ///
    /// [`Credentials`](ErrorKind::Credentials) when it is missing, is a link or no plain file, is
    /// open to others, or holds something else than a consent. No error holds any of the secrets.
    pub fn look(&self) -> Result<Stored> {
        let shown = self.path.display();
        if let Err(error) = self.path.symlink_metadata()
            && error.kind() == io::ErrorKind::NotFound
        {
            return Err(Error::new(
                ErrorKind::Credentials,
                format!("there is no token file {shown}"),
                format!(
                    "Write it with confluence-audit-oauth-setup --token-file {shown}, or name \
                     the one that it wrote."
                ),
            ));
        }
        let file = secret::open(&self.path, WHAT, false)?;
        // The whole capacity at once: growing would leave copies of the secrets behind in memory.
        let length = file.metadata().map_or(0, |meta| meta.len()).min(MAX_LEN);
        let capacity = usize::try_from(length).unwrap_or(0) + 1;
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
        file.take(MAX_LEN)
            .read_to_end(&mut bytes)
            .map_err(|error| {
                Error::new(
                    ErrorKind::Io,
                    format!("the token file {shown} cannot be read"),
                    "Check the disk that it is on.",
                )
                .with_source(error)
            })?;
        content::read(&bytes, &self.path)
    }

    /// Makes sure that a consent can be kept here, before a person is asked for one. Creates the
    /// directory for its owner alone when it is missing, and changes no token.
    ///
    /// # Errors
    ///
    /// [`Io`](ErrorKind::Io) when nothing can be written there, [`State`](ErrorKind::State) on a
    /// network file system, [`Credentials`](ErrorKind::Credentials) when something is there that
    /// is no file of our own.
    pub fn prepare(&self) -> Result<()> {
        let dir = fs::directory(&self.path);
        if !dir.exists() {
            fs::create_private_directory(dir).map_err(|error| unwritable(&self.path, error))?;
        }
        if self.path.symlink_metadata().is_ok() {
            secret::open(&self.path, WHAT, false)?;
        }
        fs::check_writable(dir).map_err(|error| unwritable(&self.path, error))?;
        lock::refuse_network(&self.path)
    }

    /// Writes the file for a new consent, in place of any that it held.
    ///
    /// # Errors
    ///
    /// As [`prepare`](Self::prepare).
    pub async fn create(&self, kept: Stored) -> Result<()> {
        let lock = TokenLock::acquire(&self.path).await?;
        let file = self.clone();
        blocking(move || {
            let written = file.replace(&kept);
            drop(lock);
            written
        })
        .await
    }

    /// Replaces the file's content; only under the lock.
    fn replace(&self, kept: &Stored) -> Result<()> {
        let text = content::write(kept)?;
        fs::replace(&self.path, 0o600, &text).map_err(|error| unwritable(&self.path, error))
    }
}

fn unwritable(path: &Path, error: io::Error) -> Error {
    Error::new(
        ErrorKind::Io,
        format!("the token file {} cannot be written", path.display()),
        "Its directory must be writable for the user that collects, on a local disk with space: \
         each refresh replaces the file.",
    )
    .with_source(error)
}

/// Runs what waits for the disk where it keeps nobody up. Once begun it ends, also when nobody
/// waits for it any more.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Error::internal("reading or writing panicked").with_source(error))
    })
}

#[async_trait]
impl TokenStore for TokenFile {
    async fn read(&self) -> Result<TokenSet, core::Error> {
        let file = self.clone();
        let kept = blocking(move || file.look()).await.map_err(stored)?;
        Ok(kept.tokens)
    }

    async fn lock(&self) -> Result<Box<dyn LockedTokens>, core::Error> {
        let lock = TokenLock::acquire(&self.path).await.map_err(stored)?;
        Ok(Box::new(Locked {
            file: self.clone(),
            _lock: lock,
        }))
    }
}

/// The file while this holder alone may refresh.
struct Locked {
    file: TokenFile,
    _lock: TokenLock,
}

#[async_trait]
impl LockedTokens for Locked {
    async fn read(&mut self) -> Result<TokenSet, core::Error> {
        self.file.read().await
    }

    async fn write(&mut self, tokens: &TokenSet) -> Result<(), core::Error> {
        let (file, tokens) = (self.file.clone(), tokens.clone());
        let write = move || {
            let consent = file.look()?.consent;
            file.replace(&Stored { consent, tokens })
        };
        blocking(write).await.map_err(stored)
    }
}

/// What `core` calls it.
fn stored(error: Error) -> core::Error {
    core::Error::new(core::ErrorKind::TokenStore, error.to_string()).with_source(error)
}

#[cfg(test)]
mod tests;
