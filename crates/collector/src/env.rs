//! Environment variables.

use std::env;
use std::ffi::OsString;

/// A variable of the environment; one that is empty is as good as none.
pub fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}
