//! What can be said on the command line and in the environment.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use confluence_audit_collector::logging::{self, Form, Level};

use crate::listen::Listen;

/// What the program is called.
pub(crate) const PROGRAM: &str = "confluence-auditd";

/// Reads the audit logs of Confluence Cloud sites for as long as it runs: every record, once.
///
/// SIGHUP reads the configuration again and reopens the outputs; SIGTERM ends it within ten
/// seconds. It tells systemd how it stands, and feeds its watchdog while it gets on.
#[derive(Debug, Parser)]
#[command(name = "confluence-auditd", version, max_term_width = 100)]
pub(crate) struct Args {
    /// The configuration file [default: /etc/confluence-audit/config.toml, then
    /// `$XDG_CONFIG_HOME/confluence-audit/config.toml`]
    #[arg(long, value_name = "F", env = "CONFLUENCE_AUDIT_CONFIG")]
    #[arg(hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Where the state is kept [default: as configured, then `$STATE_DIRECTORY`, then
    /// `$XDG_STATE_HOME/confluence-audit`]
    #[arg(long, value_name = "D", env = "CONFLUENCE_AUDIT_STATE_DIR")]
    #[arg(hide_env_values = true)]
    pub(crate) state_dir: Option<PathBuf>,
    /// Where the status page (`/`), `/metrics`, `/healthz` and `/readyz` are served, without a
    /// password; `off` for nowhere
    #[arg(long, value_name = "ADDRESS:PORT", env = "CONFLUENCE_AUDIT_LISTEN")]
    #[arg(default_value = "127.0.0.1:9321", hide_env_values = true)]
    pub(crate) listen: Listen,
    /// How log lines are written [default: text, or systemd's journal with its fields]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// Log more; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Log what needs somebody's eye, and not each pass
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
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

    pub(crate) fn start_logging(&self) {
        let level = match (self.quiet, self.verbose) {
            (true, _) => Level::Warnings,
            (false, 0) => Level::Passes,
            (false, 1) => Level::Details,
            (false, _) => Level::Everything,
        };
        logging::start(PROGRAM, self.log_format.map(Into::into), level);
    }

    /// How an error is written that ends the program.
    pub(crate) fn form(&self) -> Form {
        self.log_format.map_or(Form::Text, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn no_flag_takes_a_secret() {
        for argument in Args::command().get_arguments() {
            let name = argument.get_id().as_str();
            assert!(
                !name.contains("token") && !name.contains("secret"),
                "{name}"
            );
        }
    }
}
