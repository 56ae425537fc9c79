//! Throughput of the hot path alone: what a page goes through on its way into a file, against copying it.

use std::process::Command;

use super::programs::Programs;
use crate::error::Result;
use crate::process::output;

/// It may be so many times slower than copying, unless it reaches so many megabytes a second.
const TIMES: f64 = 12.0;
const ENOUGH: f64 = 600.0;

/// Megabytes a second.
pub(super) fn measure(programs: &Programs) -> Result<String> {
    let rates = output(Command::new(&programs.hot_path).arg("speed"))?;
    let rate = |step: &str| -> Result<f64> {
        let line = rates.lines().find_map(|line| line.strip_prefix(step));
        Ok(line.ok_or("a step has no rate")?.trim().parse()?)
    };
    let (path, copy) = (rate("hot-path ")?, rate("memcpy ")?);
    let formats: Vec<&str> = rates.lines().collect();
    Ok(format!(
        "\nSplitting a page, time, fingerprint and line of each record: {path:.0} MB/s, one in \
         {:.1} of copying ({copy:.0} MB/s); {ENOUGH:.0} MB/s or one in {TIMES:.0} is wanted. Alone, \
         in MB/s of raw records: {}.\n",
        copy / path,
        formats.join(", ")
    ))
}
