//! Torture mode `random`: crash tests of as many sites as the kills ask for, one after the other, and the
//! sum of their outcomes.

use std::time::Instant;

use super::crash_test::{CrashTest, Outcome};
use super::report::Row;
use super::settings::{Settings, progress};
use crate::error::Result;

/// After so many kills another site begins, with a first run of its own.
const KILLS_A_SITE: u64 = 60;

/// Runs the mode.
pub(crate) fn run(settings: &Settings) -> Result<Vec<Row>> {
    let began = Instant::now();
    let mut total = Outcome::default();
    let mut round = 0;
    while total.kills < settings.kills {
        let seed = settings.seed.wrapping_add(round);
        let kills = KILLS_A_SITE.min(settings.kills - total.kills);
        let outcome = CrashTest::start(settings, seed, kills)?.run()?;
        progress(&format!("random: site {round} (seed {seed}): {outcome}"));
        total += outcome;
        round += 1;
    }
    progress(&format!("random: all sites: {total}"));
    let row = |mode: &str, tally| Row {
        mode: mode.to_owned(),
        kills: total.kills,
        runs: total.runs,
        tally,
        spent: began.elapsed(),
        seed: settings.seed,
    };
    let mut rows = vec![row("random", total.output.clone())];
    for (name, tally) in &total.readers {
        rows.push(row(&format!("  {name}"), tally.clone()));
    }
    Ok(rows)
}
