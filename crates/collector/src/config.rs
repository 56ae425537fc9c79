//! The configuration: which sites are read, how often, and where their records go.
//!
//! This file turns the text of `config.toml` into values that can be relied on; flags and the
//! environment are laid over them by the binaries, which is why every field is public. A mistake is
//! reported with its line, because the person who made it has the file open.

mod default_file;
mod read;
mod size;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod when;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use confluence_audit_core::{CloudId, Origin, RetryPolicy};
use secrecy::SecretString;
use toml::de::DeTable;

use self::read::{read_collect, read_sites, read_state};
use self::table::{Section, Source};
use crate::output::kinds::read_outputs;
use crate::{Error, ErrorKind, Result};
use confluence_audit_core::read::Lookback;

pub use confluence_audit_formats::Format;

pub use self::default_file::default_config_file;
pub use self::size::{parse_size, show_size};
pub use self::when::{ParseWhenError, When, parse_duration};
pub use crate::output::kinds::{
    ClientCertificate, Confirm, ElasticsearchConfig, FileConfig, Framing, HeaderConfig, HttpConfig,
    OtlpConfig, OutputConfig, OutputFiles, OutputKind, PeerConfig, SplunkHecConfig, SyslogAddress,
    SyslogConfig, SyslogFraming,
};

/// Everything that the configuration file can say.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What is kept between runs.
    pub state: State,
    /// How sites are read.
    pub collect: Collect,
    /// The sites. There may be none: one can be named by flags alone.
    pub sites: Vec<SiteConfig>,
    /// The outputs. There may be none: then the program has a default.
    pub outputs: Vec<OutputConfig>,
}

/// What is kept between runs, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The directory, where the file names one. A relative path is relative to the working
    /// directory, as in a flag.
    pub dir: Option<PathBuf>,
    /// How many bytes of records may wait for outputs before collecting waits too.
    pub spool_limit: u64,
}

impl Default for State {
    /// 1 GiB: a day of the largest sites, and a month of most.
    fn default() -> Self {
        Self {
            dir: None,
            spool_limit: 1 << 30,
        }
    }
}

/// How sites are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collect {
    /// The time between two passes over a site.
    pub interval: Duration,
    /// Where the first pass begins.
    pub start: Start,
    /// How many windows of the log are read at the same time.
    pub jobs: NonZeroUsize,
    /// What is read again, and how often.
    pub reread: Vec<Lookback>,
    /// How failed requests are made again.
    pub retry: RetryPolicy,
    /// How many sites a daemon reads at the same time.
    pub passes: NonZeroUsize,
    /// The most requests a second that a daemon makes to a site in the long run.
    pub site_rate: u32,
    /// The same for all sites that share an account or app.
    pub account_rate: u32,
}

impl Default for Collect {
    /// Every ten minutes, from everything that the site retains.
    fn default() -> Self {
        Self {
            interval: Duration::from_mins(10),
            start: Start::Retained,
            jobs: NonZeroUsize::MIN,
            reread: Lookback::default_schedule(),
            retry: RetryPolicy::default(),
            passes: NonZeroUsize::MIN.saturating_add(15),
            site_rate: 20,
            account_rate: 50,
        }
    }
}

/// Where the first pass over a site begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record that the site still has.
    Retained,
    /// At this time.
    At(When),
}

/// One site.
#[derive(Clone, Debug)]
pub struct SiteConfig {
    /// What people call it; unique, and safe as a part of a file name.
    pub name: String,
    /// Which site it is.
    pub address: Address,
    /// In place of `https://api.atlassian.com`.
    pub api_url: Option<Origin>,
    /// In place of `https://auth.atlassian.com`.
    pub auth_url: Option<Origin>,
    /// How requests to it are signed.
    pub auth: AuthConfig,
    /// The time between two passes, where it is not that of all sites.
    pub interval: Option<Duration>,
}

/// Which site is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `https://acme.atlassian.net`; its cloud id has to be looked up.
    Url(Origin),
    /// The cloud id itself.
    CloudId(CloudId),
}

impl Address {
    /// The site's own address, where that is given.
    pub fn url(&self) -> Option<&Origin> {
        match self {
            Self::Url(url) => Some(url),
            Self::CloudId(_) => None,
        }
    }
}

/// How requests are signed.
#[derive(Clone, Debug)]
pub enum AuthConfig {
    /// The API token of an account.
    ApiToken {
        /// The account.
        email: String,
        /// Its token.
        token: Secret,
        /// The token has no scopes, so that it works on the site's own host alone.
        unscoped: bool,
    },
    /// The consent of a person, as `confluence-audit-oauth-setup` obtained it.
    Oauth {
        /// The file that it wrote.
        token_file: PathBuf,
    },
    /// A service account's own client.
    ServiceAccount {
        /// The client.
        client_id: String,
        /// The client's secret.
        client_secret: Secret,
    },
}

/// Where a secret is.
#[derive(Clone, Debug)]
pub enum Secret {
    /// In this file, or the credential of this bare name, or `-`: see [`secret`](crate::credentials::secret).
    File(PathBuf),
    /// Here: from the environment.
    Given(SecretString),
}

/// More at a time would only run into the service's rate limit.
pub const MOST_JOBS: u8 = 16;

impl Config {
    /// Reads the configuration file at `path`.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when it cannot be read or holds a mistake; the message names
    /// file and line.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::new(
                ErrorKind::Config,
                format!("the configuration {} cannot be read", path.display()),
                "Write one with `confluence-audit generate config`, or name another with --config.",
            )
            .with_source(error)
        })?;
        Self::from_toml(&text, &path.display().to_string())
    }

    /// Reads a configuration from text; `origin` names it in errors.
    ///
    /// ```
    /// use confluence_audit_collector::Config;
    ///
    /// let error = Config::from_toml("[collect]\nintervall = \"10m\"", "config.toml").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "config.toml line 2: unknown key `intervall` in [collect]; did you mean `interval`?"
    /// );
    /// ```
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) as [`load`](Self::load).
    pub fn from_toml(text: &str, origin: &str) -> Result<Self> {
        let source = Source { text, origin };
        let document = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            source.mistake(
                at,
                error.message(),
                "See https://toml.io for how TOML is written.",
            )
        })?;
        let mut root = Section::new(source, "", document.get_ref(), 0);
        let config = Self {
            state: match root.table("state")? {
                Some(section) => read_state(section)?,
                None => State::default(),
            },
            collect: match root.table("collect")? {
                Some(section) => read_collect(section)?,
                None => Collect::default(),
            },
            sites: read_sites(root.tables("site")?)?,
            outputs: read_outputs(root.tables("output")?)?,
        };
        root.finish()?;
        Ok(config)
    }

    /// What is allowed and yet hardly meant.
    pub fn warnings(&self) -> Vec<String> {
        let mixed = |output: &&OutputConfig| {
            self.sites.len() > 1
                && output.format == Format::Raw
                && !output.kind.is_per_site()
                && !output.kind.names_sites()
        };
        let warning = |output: &OutputConfig| {
            let remedy = match &output.kind {
                OutputKind::File(_) => "put {site} into the path, or choose another format",
                _ => "choose another format",
            };
            format!(
                "{} gets the raw records of {} sites, and a raw record does not say which site it \
                 is from; {remedy}",
                output.kind.shown(),
                self.sites.len()
            )
        };
        self.outputs.iter().filter(mixed).map(warning).collect()
    }
}
