//! Logging options: how much is logged, and how.

use confluence_audit_collector::logging::{self, Level};

use crate::options::LogArgs;
use crate::report::PROGRAM;

/// Starts logging: warnings, and with `-v` what each pass does, for our own crates; with `-vv`
/// the libraries' too. `RUST_LOG` beats the flags.
pub(crate) fn start(args: LogArgs) {
    let level = match args {
        LogArgs { quiet: true, .. } => Level::Off,
        LogArgs { verbose: 0, .. } => Level::Warnings,
        LogArgs { verbose: 1, .. } => Level::Details,
        LogArgs { .. } => Level::Everything,
    };
    logging::start(PROGRAM, args.log_format.map(Into::into), level);
}
