//! How the program ends: the error and its remedy on standard error, and the exit code.

use std::io::{self, Write as _};
use std::process::ExitCode;

use confluence_audit_collector::Error;

use crate::args::LogFormat;

/// Says why the program ends, and gives its exit code.
pub(crate) fn failure(error: &Error, format: Option<LogFormat>) -> ExitCode {
    let (message, remedy) = (error.chain(), error.remedy());
    let text = match format {
        Some(LogFormat::Json) => serde_json::json!({
            "level": "ERROR",
            "message": message,
            "remedy": remedy,
            "exit_code": error.exit_code(),
        })
        .to_string(),
        _ => format!("confluence-auditd: {message}\n  {remedy}"),
    };
    // There is nowhere left to complain.
    let _ = writeln!(io::stderr(), "{text}");
    ExitCode::from(error.exit_code())
}
