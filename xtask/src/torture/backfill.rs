//! Torture mode `backfill`: a first run over a million records, killed ten times, each time further on.

use std::thread::sleep;
use std::time::{Duration, Instant};

use confluence_audit_sim::SimConfig;
use fastrand::Rng;

use super::report::Row;
use super::settings::{Settings, progress};
use crate::error::Result;
use crate::test_site::{Exit, TestSite};

const RECORDS: usize = 1_000_000;
const KILLS: u64 = 10;

/// Runs the mode.
pub(crate) fn run(settings: &Settings) -> Result<Vec<Row>> {
    if settings.short {
        progress("backfill is left out of the short form");
        return Ok(Vec::new());
    }
    let began = Instant::now();
    let mut site = TestSite::start(
        &settings.program,
        SimConfig {
            seed: settings.seed,
            records: RECORDS,
            ..SimConfig::default()
        },
    )?;
    let mut rng = Rng::with_seed(settings.seed);
    let bytes: usize = site.sim.truth().map(|line| line.len() + 1).sum();
    // The last part is for the run that nobody kills.
    let part = u64::try_from(bytes)? / (KILLS + 1);
    let mut runs = 0;
    for kill in 0..KILLS {
        runs += 1;
        let mut child = site.fetch()?.spawn()?;
        let length = part * kill + rng.u64(..part);
        while output_length(&site) < length && child.try_wait()?.is_none() {
            sleep(Duration::from_millis(1));
        }
        // Not always just behind a write.
        sleep(Duration::from_secs_f64(0.3 * rng.f64()));
        // It may have ended by itself.
        let _ = child.kill();
        match site.exit(child.wait()?)? {
            Exit::Killed(_) => progress(&format!(
                "kill {}: the output has {} MB",
                kill + 1,
                output_length(&site) / 1_000_000
            )),
            exit => return Err(site.failure(&format!("a run was {exit:?} too early"))),
        }
    }
    runs += site.settle()?;
    Ok(vec![Row {
        mode: "backfill".to_owned(),
        kills: KILLS,
        runs,
        tally: site.tally()?,
        spent: began.elapsed(),
        seed: settings.seed,
    }])
}

fn output_length(site: &TestSite) -> u64 {
    std::fs::metadata(site.output()).map_or(0, |file| file.len())
}
