//! The command line and its environment variables.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use confluence_audit_core::printable;

use crate::check::CheckArgs;
use crate::export::ExportArgs;
use crate::fetch::FetchArgs;
use crate::generate::GenerateCommand;
use crate::options::{LogArgs, SiteArgs};
use crate::state::StateCommand;
use crate::verify::VerifyArgs;

/// The exit code of a wrong command line, of `sysexits.h`.
const USAGE: u8 = 64;

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

impl Args {
    /// Reads them; what `--help`, `--version` and mistakes print has been printed when it fails.
    pub(crate) fn read() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|error| {
            // A closed pipe is no failure.
            let _ = error.print();
            // clap's own code for a mistake is 2; the interface promises 64.
            if error.use_stderr() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::SUCCESS
            }
        })
    }

    /// Prints a mistake as clap does those that it finds by itself, and gives its exit code.
    pub(crate) fn mistake(message: &str) -> ExitCode {
        let kind = clap::error::ErrorKind::ValueValidation;
        // There is nowhere left to complain.
        let _ = Self::command()
            .error(kind, printable(message, 2000))
            .print();
        ExitCode::from(USAGE)
    }
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
