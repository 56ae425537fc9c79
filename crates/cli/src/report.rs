//! How a run ends: the error and its remedy on standard error, and the exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use confluence_audit_collector::{Error, ErrorKind};

use crate::args::LogFormat;

/// Why a run did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something failed; nothing has been said about it yet.
    Error(Error),
    /// What failed has been said; this is the exit code.
    Said(u8),
    /// Whoever read our output has gone: no failure of ours.
    BrokenPipe,
}

impl Failure {
    pub(crate) fn internal(error: io::Error) -> Self {
        let message = "the program could not start its runtime";
        let remedy = "See whether the host has run out of threads, files or memory.";
        Self::Error(Error::new(ErrorKind::Internal, message, remedy).with_source(error))
    }

    /// Writing to standard output failed.
    pub(crate) fn stdout(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::BrokenPipe;
        }
        let remedy = "See where standard output leads, and whether there is space.";
        let message = "writing to standard output failed";
        Self::Error(Error::new(ErrorKind::Io, message, remedy).with_source(error))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Says how the run ended, and gives its exit code.
pub(crate) fn outcome(result: Result<(), Failure>, format: LogFormat) -> ExitCode {
    match result {
        Ok(()) | Err(Failure::BrokenPipe) => ExitCode::SUCCESS,
        Err(Failure::Said(code)) => ExitCode::from(code),
        Err(Failure::Error(error)) => {
            say(&error, format);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Prints an error with its causes and its remedy.
pub(crate) fn say(error: &Error, format: LogFormat) {
    let message = error.chain();
    let text = match format {
        LogFormat::Text => format!("confluence-audit: {message}\n  {}", error.remedy()),
        LogFormat::Json => serde_json::json!({
            "level": "ERROR",
            "message": message,
            "remedy": error.remedy(),
            "exit_code": error.exit_code(),
        })
        .to_string(),
    };
    // There is nowhere left to complain.
    let _ = writeln!(io::stderr(), "{text}");
}
