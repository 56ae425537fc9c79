//! The default state directory.

use std::path::PathBuf;

use crate::env::variable;
use crate::{Error, ErrorKind, Result};

/// The directory for the state, unless another is named: `$STATE_DIRECTORY`, as systemd gives it to
/// a unit, else `confluence-audit` in `$XDG_STATE_HOME`.
///
/// # Errors
///
/// [`Config`](ErrorKind::Config) when the environment names no place at all.
pub fn default_state_dir() -> Result<PathBuf> {
    // systemd may give several, of which the first is the first named in the unit.
    if let Some(dirs) = variable("STATE_DIRECTORY")
        && let Some(first) = std::env::split_paths(&dirs).next()
    {
        return Ok(first);
    }
    let base = variable("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    base.map(|base| base.join("confluence-audit"))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Config,
                "there is no place for the state: neither STATE_DIRECTORY nor HOME is set",
                "Give --state-dir.",
            )
        })
}
