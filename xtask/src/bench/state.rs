//! Size of the state on disk after a million records.

use std::fs;
use std::process::Command;

use super::measure::measure as run;
use super::programs::Programs;
use super::sim_process::SimProcess;
use crate::error::Result;
use crate::process::output;

/// So many bytes a record that is counted may be.
const ENOUGH: f64 = 40.0;

/// Collects from an empty site and from one of a million records: the difference is what records
/// take.
pub(super) fn measure(programs: &Programs) -> Result<String> {
    let size = |records: &str| -> Result<(u64, u64)> {
        let site = SimProcess::start(programs, &["--fast", "--gzip", "--records", records])?;
        run(&mut site.ours(programs, &["fetch", "--state-dir", "state"]))?;
        let file = site.folder().join("state/spool.sqlite3");
        let mut show = Command::new(&programs.collector);
        show.args(["--state-dir", "state", "state", "show"]);
        let shown = output(show.current_dir(site.folder()).env_clear())?;
        let counts = shown
            .lines()
            .find_map(|line| line.split_once(" on: ")?.1.strip_suffix(" counts"))
            .ok_or("`state show` prints no counts")?;
        Ok((fs::metadata(file)?.len(), counts.parse()?))
    };
    let (empty, _) = size("1")?;
    let (full, counts) = size("1000000")?;
    let each = full.saturating_sub(empty) as f64 / counts.max(1) as f64;
    Ok(format!(
        "\nAfter a million records the state has {full} bytes, {} more than with one record: \
         {each:.1} for each of the {counts} records in the span that is read again ({ENOUGH:.0} \
         are wanted), and nothing for the others.\n",
        full.saturating_sub(empty)
    ))
}
