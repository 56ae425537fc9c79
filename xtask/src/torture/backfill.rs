//! Mode `backfill`: a first run over a million records, killed ten times.

use std::thread::sleep;
use std::time::{Duration, Instant};

use confluence_audit_sim::SimConfig;
use fastrand::Rng;

use super::Torture;
use super::row::Row;
use super::site::{End, Site};
use crate::Result;

const RECORDS: usize = 1_000_000;
const KILLS: u64 = 10;

/// Runs the mode.
pub(crate) fn run(torture: &Torture) -> Result<Vec<Row>> {
    if torture.short {
        torture.say("backfill is left out of the short form");
        return Ok(Vec::new());
    }
    let began = Instant::now();
    let mut site = Site::start(
        &torture.program,
        SimConfig {
            seed: torture.seed,
            records: RECORDS,
            ..SimConfig::default()
        },
    )?;
    let mut rng = Rng::with_seed(torture.seed);
    let (mut kills, mut runs) = (0, 0);
    while kills < KILLS {
        let mut child = site.fetch()?.spawn()?;
        runs += 1;
        // A window takes a fraction of a second: this is anywhere in the first few dozens.
        sleep(Duration::from_secs_f64(0.2 + 4.0 * rng.f64()));
        let _ = child.kill();
        match site.end(child.wait()?)? {
            End::Killed(_) => kills += 1,
            End::Done(_) => break,
            End::Failed(code) => {
                return Err(format!("a run ended with {code}: {}", site.stderr()).into());
            }
        }
        let bytes = std::fs::metadata(site.output()).map_or(0, |file| file.len());
        torture.say(&format!(
            "kill {kills}: the output has {} MB",
            bytes / 1_000_000
        ));
    }
    runs += site.settle()?;
    Ok(vec![Row {
        mode: "backfill".to_owned(),
        kills,
        runs,
        tally: site.tally()?,
        spent: began.elapsed(),
        seed: torture.seed,
    }])
}
