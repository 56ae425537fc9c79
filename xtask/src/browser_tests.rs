//! A folder of tests that drives a browser: what is locked there is installed, and its `run.mjs` is
//! given our programs. What it needs and is not there is named, and the rest skipped.

use std::fs;
use std::process::Command;

use crate::ci::succeed;
use crate::torture::is_installed;
use crate::workspace::{Profile, build, target};
use crate::{Result, root};

/// Builds `packages` and runs the tests in `tests/FOLDER` with these `programs` and a place for what
/// they leave behind, screenshots too: `target/PLACE`.
pub(crate) fn run(folder: &str, packages: &[&str], programs: &[&str], place: &str) -> Result {
    for tool in ["node", "npm", "chromium"] {
        if !is_installed(tool) {
            println!("skipped: {tool} is not installed");
            return Ok(());
        }
    }
    let built = build(packages, Profile::Debug)?;
    let folder = root().join("tests").join(folder);
    succeed(
        Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(&folder),
    )?;
    let place = target().join(place);
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    let programs = programs.iter().map(|program| built.join(program));
    succeed(
        Command::new("node")
            .arg("run.mjs")
            .args(programs)
            .arg(&place)
            .current_dir(&folder),
    )
}
