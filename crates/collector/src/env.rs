//! Environment variables, for programs: the library looks there only where it is asked to.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// A variable of the environment; one that is empty is as good as none.
pub fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Where systemd puts the credentials of a unit.
pub fn credentials_dir() -> Option<PathBuf> {
    variable("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}
