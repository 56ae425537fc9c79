//! Programs that are measured, of the release profile.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::error::Result;
use crate::process::succeed;
use crate::workspace::{Profile, build, cargo, target};

/// The programs, built.
pub(crate) struct Programs {
    pub(crate) collector: PathBuf,
    pub(crate) setup: PathBuf,
    pub(crate) daemon: PathBuf,
    pub(crate) sim: PathBuf,
    /// Goes through the hot path alone.
    pub(crate) hot_path: PathBuf,
}

impl Programs {
    pub(crate) fn build() -> Result<Self> {
        let packages = [
            "confluence-audit-cli",
            "confluence-audit-daemon",
            "confluence-audit-oauth-setup",
            "confluence-audit-sim",
        ];
        let release = build(&packages, Profile::Release)?;
        Ok(Self {
            collector: release.join("confluence-audit"),
            setup: release.join("confluence-audit-oauth-setup"),
            daemon: release.join("confluence-auditd"),
            sim: release.join("confluence-audit-sim"),
            hot_path: build_hot_path()?,
        })
    }
}

/// Builds the example of the formats that goes through the hot path.
pub(crate) fn build_hot_path() -> Result<PathBuf> {
    succeed(
        cargo()
            .args(["build", "--quiet", "--locked", "--release"])
            .args(["--package", "confluence-audit-formats"])
            .args(["--example", "hot_path"]),
    )?;
    Ok(target().join("release/examples/hot_path"))
}

/// How large the programs are.
pub(crate) fn sizes(programs: &Programs) -> Result<String> {
    let mut text = String::from("\nThe programs, stripped:");
    for program in [&programs.collector, &programs.daemon, &programs.setup] {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let size = fs::metadata(program)?.len() as f64 / 1e6;
        write!(text, " `{name}` {size:.1} MB,")?;
    }
    text.pop();
    text.push_str("; less than 10 MB each is wanted.\n");
    Ok(text)
}
