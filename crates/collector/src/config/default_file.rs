//! Where the configuration file is, when nobody says so.

use std::path::PathBuf;

use crate::env::variable;

/// The first that is there: `/etc/confluence-audit/config.toml`, then
/// `$XDG_CONFIG_HOME/confluence-audit/config.toml`.
pub fn default_config_file() -> Option<PathBuf> {
    let user = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".config")));
    let places = [Some(PathBuf::from("/etc")), user];
    let files = places
        .into_iter()
        .flatten()
        .map(|dir| dir.join("confluence-audit/config.toml"));
    files.into_iter().find(|file| file.exists())
}
