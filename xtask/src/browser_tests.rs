//! Tests in a browser: `tests/oauth_provider/run.mjs` and `tests/status_page/run.mjs`, which are given
//! our programs. What they need and is not installed is named, and the rest skipped.

use std::fs;
use std::process::Command;

use crate::error::Result;
use crate::process::{is_installed, succeed};
use crate::workspace::{Profile, build, root, target};

/// The set-up of OAuth and the rotation of its tokens, with an authorization server that is not ours.
pub(crate) fn oauth_provider() -> Result {
    let packages = ["confluence-audit-cli", "confluence-audit-oauth-setup"];
    let programs = ["confluence-audit-oauth-setup", "confluence-audit"];
    run("oauth_provider", &packages, &programs, "oauth-provider")
}

/// The daemon's status page.
pub(crate) fn status_page() -> Result {
    let packages = ["confluence-audit-daemon", "confluence-audit-sim"];
    let programs = ["confluence-auditd", "confluence-audit-sim"];
    run("status_page", &packages, &programs, "status-page")
}

/// Builds `packages` and runs the tests in `tests/FOLDER` with these `programs` and a folder for what
/// they leave behind, screenshots too: `target/ARTIFACTS`.
fn run(folder: &str, packages: &[&str], programs: &[&str], artifacts: &str) -> Result {
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
    let artifacts = target().join(artifacts);
    if artifacts.exists() {
        fs::remove_dir_all(&artifacts)?;
    }
    let programs = programs.iter().map(|program| built.join(program));
    succeed(
        Command::new("node")
            .arg("run.mjs")
            .args(programs)
            .arg(&artifacts)
            .current_dir(&folder),
    )
}
