//! What can be said on the command line and in the environment.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use confluence_audit_collector::config::{Format, MOST_JOBS};
use confluence_audit_collector::config::{ParseWhenError, When};
use confluence_audit_core::printable;

use crate::generate::GenerateCommand;
use crate::report::Failure;
use crate::state::StateCommand;
use crate::verify::VerifyArgs;

/// Reads the audit log of Confluence Cloud: every record, once, one a line.
///
/// A site is named by flags, by the environment, or by a configuration file; flags beat the
/// environment, which beats the file. Data and summaries go to standard output, all else to
/// standard error.
#[derive(Debug, Parser)]
#[command(
    name = "confluence-audit",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) site: SiteArgs,
    #[command(flatten)]
    pub(crate) logging: LogArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

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
    pub(crate) fn format(self) -> LogFormat {
        self.log_format.unwrap_or(LogFormat::Text)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Reads what is new at each configured site and appends it to the outputs
    Fetch(FetchArgs),
    /// Writes a part of the log to a file or to standard output; keeps no state
    Export(ExportArgs),
    /// Reads the site again and says what the files lack or hold too much of
    Verify(VerifyArgs),
    /// Looks at the state, takes it back, or recovers it from damage
    #[command(subcommand)]
    State(StateCommand),
    /// Tries settings, credentials, permission and outputs; says what is wrong and what to do
    Check(CheckArgs),
    /// Shows how far each site is read, what waits for outputs, and how long a consent lasts; also
    /// while a run is going on
    Status {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Lists the sites that the credentials reach
    Sites,
    /// Prints or writes what a host needs: configuration, units, log rotation, completions, manual
    /// pages
    #[command(subcommand)]
    Generate(GenerateCommand),
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FetchArgs {
    /// Where the first run begins: RFC 3339, a date, epoch milliseconds, or an age such as `7d`.
    /// Without it everything that the site retains is read; later runs go on where the last ended
    #[arg(long, value_name = "T", value_parser = when)]
    pub(crate) since: Option<When>,
    /// The file to append to, in place of the configured outputs; `-` is standard output, and the
    /// summary then goes to standard error [default: flattened.json]
    #[arg(long, value_name = "F")]
    pub(crate) output: Option<PathBuf>,
    /// How a record is written
    #[arg(long, value_name = "X", value_parser = format_name(), default_value = "raw")]
    #[arg(requires = "output")]
    pub(crate) format: Format,
    /// How many parts of the log are read at the same time [default: 1, or as configured]
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Write what the run did for the textfile collector of `node_exporter`, added to what the file
    /// says of the runs before
    #[arg(long, value_name = "F", conflicts_with = "dry_run")]
    pub(crate) metrics_file: Option<PathBuf>,
    /// Read and count what a run would deliver, and write nothing: no state, no lock, no output
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The summary's form: a last line for people, or one JSON object
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(crate) summary: SummaryFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SummaryFormat {
    /// `Flattened N records into PATH`
    Text,
    /// One object
    Json,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// Only records at or after T: RFC 3339, a date, epoch milliseconds, or an age such as `7d`
    #[arg(long, value_name = "T", value_parser = when)]
    pub(crate) since: Option<When>,
    /// Only records at or before T
    #[arg(long, value_name = "T", value_parser = when)]
    pub(crate) until: Option<When>,
    /// Only records one of whose values holds S
    #[arg(long, value_name = "S")]
    pub(crate) search: Option<String>,
    /// No more than N records
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// The newest record first instead of the oldest
    #[arg(long)]
    pub(crate) newest_first: bool,
    /// How many parts of the log are read at the same time [default: 1, or as configured]
    #[arg(long, value_name = "N", value_parser = jobs, conflicts_with = "newest_first")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// The file to write, replaced at once when it is complete; `-` is standard output
    #[arg(long, value_name = "F", default_value = "-")]
    pub(crate) output: PathBuf,
    /// How a record is written
    #[arg(long, value_name = "X", value_parser = format_name(), default_value = "raw")]
    pub(crate) format: Format,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The output file to try, in place of the configured ones; `-` is standard output [default:
    /// flattened.json]
    #[arg(long, value_name = "F")]
    pub(crate) output: Option<PathBuf>,
    /// Print one JSON object: each finding with its level, remedy and exit code
    #[arg(long)]
    pub(crate) json: bool,
}

impl Args {
    /// Reads them; what `--help`, `--version` and mistakes print has been printed when it fails.
    pub(crate) fn read() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|error| {
            // A closed pipe is no failure.
            let _ = error.print();
            // clap's own code for a mistake is 2; the interface promises 64.
            if error.use_stderr() {
                ExitCode::from(64)
            } else {
                ExitCode::SUCCESS
            }
        })
    }
}

/// Says that the command line asks for something that cannot be, as clap does for its own part.
pub(crate) fn usage(message: &str) -> Failure {
    let kind = clap::error::ErrorKind::ValueValidation;
    let _ = Args::command()
        .error(kind, printable(message, 2000))
        .print();
    Failure::Said(64)
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

fn format_name() -> impl clap::builder::TypedValueParser<Value = Format> {
    use clap::builder::{PossibleValuesParser, TypedValueParser as _};
    PossibleValuesParser::new(Format::ALL.iter().map(|format| format.as_str()))
        .try_map(|name| name.parse::<Format>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn no_flag_takes_a_secret_itself() {
        for argument in Args::command().get_arguments() {
            let name = argument.get_id().as_str();
            let secret = name.contains("token") || name.contains("secret");
            assert!(!secret || name.ends_with("_file"), "{name}");
        }
    }
}
