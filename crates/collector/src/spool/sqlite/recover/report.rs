//! What a recovery came to, for the operator and for one that goes on where another was interrupted.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a recovery came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovery {
    /// There is no spool.
    NoSpool,
    /// It is not damaged, and was left alone.
    Sound,
    /// It was damaged, and there is a new one.
    Recovered(Recovered),
}

/// What was saved of a damaged spool, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Recovered {
    /// What was wrong with it.
    pub damage: String,
    /// Where the damaged file is kept.
    pub kept: PathBuf,
    /// Sites whose watermark was saved.
    pub sites: u64,
    /// Outputs whose position was saved.
    pub outputs: u64,
    /// Counts that were saved.
    pub counts: u64,
    /// Records that were saved.
    pub records: u64,
    /// What could not be saved, and what follows from it, as sentences.
    pub lost: Vec<String>,
}
