//! What a command prints: lines to standard output, and the error that ends it to standard error.

use std::io::{self, Write};

use confluence_audit_collector::logging::Form;
use confluence_audit_collector::{Error, ErrorKind, report};

/// What the program is called.
pub(crate) const PROGRAM: &str = "confluence-audit";

/// Why a run did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something failed; nothing has been said about it yet.
    Error(Error),
    /// What failed has been said; this is the exit code.
    Said(u8),
    /// The command line asks for something that cannot be.
    Usage(String),
    /// Whoever read our output has gone: no failure of ours.
    BrokenPipe,
}

impl Failure {
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

/// Says that the command line asks for something that cannot be.
pub(crate) fn usage(message: &str) -> Failure {
    Failure::Usage(message.to_owned())
}

/// Prints a line to standard output.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{text}").map_err(Failure::stdout)
}

/// Prints an error with its causes and its remedy.
pub(crate) fn print_error(error: &Error, form: Form) {
    // There is nowhere left to complain.
    let _ = writeln!(io::stderr(), "{}", report(PROGRAM, error, form));
}
