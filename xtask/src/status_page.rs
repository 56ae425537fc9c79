//! The daemon's status page in a browser: `tests/status_page/run.mjs`. What it needs and is not
//! there is named, and the rest skipped.

use std::fs;
use std::process::Command;

use crate::build::{Profile, build, target};
use crate::oauth_provider::succeed;
use crate::torture::is_installed;
use crate::{Result, root};

const FOLDER: &str = "tests/status_page";

/// Builds the programs, installs what is locked, and runs it.
pub(crate) fn run() -> Result {
    for tool in ["node", "npm", "chromium"] {
        if !is_installed(tool) {
            println!("skipped: {tool} is not installed");
            return Ok(());
        }
    }
    let packages = ["confluence-audit-daemon", "confluence-audit-sim"];
    let programs = build(&packages, Profile::Debug)?;
    let folder = root().join(FOLDER);
    succeed(
        Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(&folder),
    )?;
    // What the last run left, its screenshots too.
    let place = target().join("status-page");
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    succeed(
        Command::new("node")
            .arg("run.mjs")
            .arg(programs.join("confluence-auditd"))
            .arg(programs.join("confluence-audit-sim"))
            .arg(&place)
            .current_dir(&folder),
    )
}
