//! The hot path alone: what a page goes through on its way into a file, against copying it.

use std::path::PathBuf;
use std::process::Command;

use super::Programs;
use crate::error::Result;
use crate::workspace::{cargo, target};

/// So much slower than copying may it be, unless it does so many megabytes a second.
const TIMES: f64 = 12.0;
const ENOUGH: f64 = 600.0;

/// Builds the program that goes through it.
pub(super) fn build() -> Result<PathBuf> {
    let package = "confluence-audit-formats";
    let built = cargo()
        .args(["build", "--quiet", "--locked", "--release"])
        .args(["--package", package, "--example", "hot_path"])
        .status()?;
    if !built.success() {
        return Err(format!("{package} does not build").into());
    }
    Ok(target().join("release/examples/hot_path"))
}

/// What it does in a second, as rows of the table's kind.
pub(super) fn measure(programs: &Programs) -> Result<String> {
    let output = Command::new(&programs.hot_path).arg("speed").output()?;
    if !output.status.success() {
        return Err("the hot path fails".into());
    }
    let said = String::from_utf8(output.stdout)?;
    let rate = |step: &str| -> Result<f64> {
        let line = said.lines().find_map(|line| line.strip_prefix(step));
        Ok(line.ok_or("a step says nothing")?.trim().parse()?)
    };
    let (path, copy) = (rate("hot-path ")?, rate("memcpy ")?);
    let formats: Vec<&str> = said.lines().collect();
    Ok(format!(
        "\nSplitting a page, time, fingerprint and line of each record: {path:.0} MB/s, one in \
         {:.1} of copying ({copy:.0} MB/s); {ENOUGH:.0} MB/s or one in {TIMES:.0} is wanted. Alone, \
         in MB/s of raw records: {}.\n",
        copy / path,
        formats.join(", ")
    ))
}
