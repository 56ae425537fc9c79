//! Settings of a torture run, which every mode gets.

use std::path::PathBuf;

/// What every mode works with.
pub(crate) struct Settings {
    pub(crate) program: PathBuf,
    pub(crate) kills: u64,
    pub(crate) seed: u64,
    pub(crate) short: bool,
}

/// Prints how far a mode is: some take minutes.
pub(crate) fn progress(what: &str) {
    println!("    {what}");
}
