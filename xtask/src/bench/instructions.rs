//! Instruction counts of the hot path by callgrind: figures that are the same on a busy machine, compared
//! with those that were committed.
//!
//! Callgrind knows no AVX-512, so that it counts what another processor would do; the figures tell
//! of changes, not of time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::programs::build_hot_path;
use crate::error::Result;
use crate::workspace::root;

const STEPS: [&str; 9] = [
    "hot-path",
    "split",
    "fingerprint",
    "raw",
    "flat",
    "ecs",
    "ocsf",
    "cef",
    "csv",
];
/// How often a step is done.
const TIMES: u64 = 4;
/// Records in the page.
const RECORDS: u64 = 1000;
/// More than this above what was committed is a failure.
const ALLOWED: f64 = 1.05;

fn committed() -> PathBuf {
    root().join("xtask/src/bench/instructions.txt")
}

pub(super) fn run(accept: bool) -> Result {
    let program = build_hot_path()?;
    let folder = tempfile::tempdir()?;
    let mut counts = BTreeMap::new();
    for step in STEPS {
        let many = count(&program, folder.path(), step, TIMES)?;
        let none = count(&program, folder.path(), step, 0)?;
        counts.insert(step, many.saturating_sub(none) / TIMES / RECORDS);
    }
    if accept {
        let mut text = String::new();
        for (step, count) in &counts {
            writeln!(text, "{step} {count}")?;
        }
        fs::write(committed(), text)?;
    }
    let before = fs::read_to_string(committed())?;
    let before: BTreeMap<&str, u64> = before
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(step, count)| Some((step, count.parse().ok()?)))
        .collect();
    println!("| step | instructions a record | committed | ratio |\n|---|---:|---:|---:|");
    let mut grown = Vec::new();
    for (step, count) in &counts {
        let before = before
            .get(step)
            .ok_or("a step has no committed figure: --accept")?;
        let ratio = *count as f64 / (*before).max(1) as f64;
        println!("| {step} | {count} | {before} | {ratio:.3} |");
        if ratio > ALLOWED {
            grown.push(*step);
        }
    }
    if grown.is_empty() {
        return Ok(());
    }
    let steps = grown.join(", ");
    Err(format!("{steps}: more instructions than were committed; --accept takes them").into())
}

fn count(program: &Path, folder: &Path, step: &str, times: u64) -> Result<u64> {
    let file = folder.join("callgrind.out");
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .args([step, &times.to_string()])
        .output()
        .map_err(|error| format!("valgrind, which this needs, does not start: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let profile = fs::read_to_string(file)?;
    let total = profile
        .lines()
        .find_map(|line| {
            line.strip_prefix("summary: ")
                .or(line.strip_prefix("totals: "))
        })
        .ok_or("callgrind wrote no total")?;
    Ok(total.trim().parse()?)
}
