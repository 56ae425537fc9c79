//! Errors of tasks: a sentence for the person who runs one, and what caused it.

use std::error::Error;

/// What a task answers with. Whoever reads it needs the sentence and not the type.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Prints an error and its causes.
pub(crate) fn print(error: &(dyn Error + 'static)) {
    eprintln!("xtask: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
}
