//! Log lines on standard error.

use tracing_subscriber::EnvFilter;

use crate::args::{LogArgs, LogFormat};

/// Starts logging: warnings, and with `-v` what each pass does, for our own crates; with `-vv`
/// the libraries' too. `RUST_LOG` beats the flags.
pub(crate) fn start(args: LogArgs) {
    let level = match args {
        LogArgs { quiet: true, .. } => "off",
        LogArgs { verbose: 0, .. } => "warn",
        LogArgs { verbose: 1, .. } => {
            "warn,confluence_audit=debug,confluence_audit_core=debug,confluence_audit_collector=debug"
        }
        LogArgs { .. } => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Json => lines.json().init(),
        LogFormat::Text => {
            let colour = std::io::IsTerminal::is_terminal(&std::io::stderr())
                && std::env::var_os("NO_COLOR").is_none();
            lines.with_ansi(colour).with_target(false).init();
        }
    }
}
