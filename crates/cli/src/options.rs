//! Options that all commands have, and values that several take.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ValueEnum;
use confluence_audit_collector::config::{Format, MOST_JOBS, ParseWhenError, When};
use confluence_audit_collector::logging::Form;

/// The settings that name a site without a configuration file, and where things are.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct SiteArgs {
    /// The site's cloud id
    #[arg(
        long,
        global = true,
        value_name = "ID",
        env = "CONFLUENCE_AUDIT_CLOUD_ID"
    )]
    #[arg(hide_env_values = true, conflicts_with = "site_url")]
    pub(crate) cloud_id: Option<String>,
    /// The site, such as <https://acme.atlassian.net>; its cloud id is looked up there
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "CONFLUENCE_AUDIT_SITE_URL"
    )]
    #[arg(hide_env_values = true)]
    pub(crate) site_url: Option<String>,
    /// The email address that the API token belongs to
    #[arg(long, global = true, value_name = "E", env = "CONFLUENCE_AUDIT_EMAIL")]
    #[arg(hide_env_values = true)]
    pub(crate) email: Option<String>,
    /// The file that holds the API token, `-` for standard input. The token itself can be given
    /// in `CONFLUENCE_AUDIT_API_TOKEN`
    #[arg(
        long,
        global = true,
        value_name = "F",
        env = "CONFLUENCE_AUDIT_API_TOKEN_FILE"
    )]
    #[arg(hide_env_values = true)]
    pub(crate) api_token_file: Option<PathBuf>,
    /// The API token has no scopes: it is used on the site's own host, which `--site-url` names
    #[arg(long, global = true, env = "CONFLUENCE_AUDIT_UNSCOPED")]
    #[arg(hide_env_values = true)]
    pub(crate) unscoped: bool,
    /// The file that confluence-audit-oauth-setup wrote, for OAuth in place of an API token
    #[arg(
        long,
        global = true,
        value_name = "F",
        env = "CONFLUENCE_AUDIT_OAUTH_TOKEN_FILE"
    )]
    #[arg(hide_env_values = true)]
    pub(crate) oauth_token_file: Option<PathBuf>,
    /// The client id of a service account, in place of an API token
    #[arg(
        long,
        global = true,
        value_name = "ID",
        env = "CONFLUENCE_AUDIT_CLIENT_ID"
    )]
    #[arg(hide_env_values = true)]
    pub(crate) client_id: Option<String>,
    /// The file that holds the service account's client secret, `-` for standard input
    #[arg(
        long,
        global = true,
        value_name = "F",
        env = "CONFLUENCE_AUDIT_CLIENT_SECRET_FILE"
    )]
    #[arg(hide_env_values = true)]
    pub(crate) client_secret_file: Option<PathBuf>,
    /// The API, in place of <https://api.atlassian.com>
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "CONFLUENCE_AUDIT_API_URL"
    )]
    #[arg(hide_env_values = true)]
    pub(crate) api_url: Option<String>,
    /// The token endpoint's host, in place of <https://auth.atlassian.com>
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "CONFLUENCE_AUDIT_AUTH_URL"
    )]
    #[arg(hide_env_values = true)]
    pub(crate) auth_url: Option<String>,
    /// The configuration file [default: /etc/confluence-audit/config.toml, then
    /// `$XDG_CONFIG_HOME/confluence-audit/config.toml`]
    #[arg(long, global = true, value_name = "F", env = "CONFLUENCE_AUDIT_CONFIG")]
    #[arg(hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Where the state is kept [default: `$STATE_DIRECTORY`, then
    /// `$XDG_STATE_HOME/confluence-audit`]
    #[arg(
        long,
        global = true,
        value_name = "D",
        env = "CONFLUENCE_AUDIT_STATE_DIR"
    )]
    #[arg(hide_env_values = true)]
    pub(crate) state_dir: Option<PathBuf>,
}

/// How much is logged, and how.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Logging (to standard error)")]
pub(crate) struct LogArgs {
    /// How log lines are written [default: text, or systemd's journal with its fields]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// Log more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Log errors only, and show no progress
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

impl LogArgs {
    /// How an error is written that ends a run.
    pub(crate) fn form(self) -> Form {
        self.log_format.map_or(Form::Text, Into::into)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

impl From<LogFormat> for Form {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

pub(crate) fn when(text: &str) -> Result<When, ParseWhenError> {
    When::parse(text)
}

pub(crate) fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    let jobs = text
        .parse()
        .ok()
        .filter(|jobs| (1..=MOST_JOBS).contains(jobs));
    jobs.and_then(|jobs| NonZeroUsize::new(jobs.into()))
        .ok_or_else(|| format!("it is not a number from 1 to {MOST_JOBS}"))
}

pub(crate) fn format_name() -> impl clap::builder::TypedValueParser<Value = Format> {
    use clap::builder::{PossibleValuesParser, TypedValueParser as _};
    PossibleValuesParser::new(Format::ALL.iter().map(|format| format.as_str()))
        .try_map(|name| name.parse::<Format>())
}
