//! The set-up of OAuth and the rotation of its tokens, with an authorization server and a browser
//! that are not ours: `tests/oauth_provider/run.mjs`. What it needs and is not there is named, and
//! the rest skipped.

use std::fs;
use std::process::Command;

use crate::build::{Profile, build, target};
use crate::torture::is_installed;
use crate::{Result, root};

const FOLDER: &str = "tests/oauth_provider";

/// Builds the programs, installs what is locked, and runs it.
pub(crate) fn run() -> Result {
    for tool in ["node", "npm", "chromium"] {
        if !is_installed(tool) {
            println!("skipped: {tool} is not installed");
            return Ok(());
        }
    }
    let programs = build(
        &["confluence-audit-cli", "confluence-audit-oauth-setup"],
        Profile::Debug,
    )?;
    let folder = root().join(FOLDER);
    succeed(
        Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(&folder),
    )?;
    // What the last run left, its screenshots too.
    let place = target().join("oauth-provider");
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    succeed(
        Command::new("node")
            .arg("run.mjs")
            .arg(programs.join("confluence-audit-oauth-setup"))
            .arg(programs.join("confluence-audit"))
            .arg(&place)
            .current_dir(&folder),
    )
}

/// Runs a command that is to succeed.
pub(crate) fn succeed(command: &mut Command) -> Result {
    let status = command.status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{} ended with {status}", command.get_program().display()).into())
}
