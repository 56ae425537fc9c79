//! Mode `random`: as many sites as the kills ask for, one after the other, and the sum of what came
//! of them.

use std::time::Instant;

use super::Torture;
use super::crash_test::{Ordeal, Outcome};
use super::report::Row;
use crate::error::Result;

/// So many kills befall one site; then another begins, with a first run of its own.
const KILLS_A_SITE: u64 = 60;

/// Runs the mode.
pub(crate) fn run(torture: &Torture) -> Result<Vec<Row>> {
    let began = Instant::now();
    let mut total = Outcome::default();
    let mut round = 0;
    while total.kills < torture.kills {
        let seed = torture.seed.wrapping_add(round);
        let most = KILLS_A_SITE.min(torture.kills - total.kills);
        let outcome = Ordeal::begin(torture, seed, most)?.endure()?;
        torture.say(&format!("random: site {round} (seed {seed}): {outcome}"));
        total += outcome;
        round += 1;
    }
    torture.say(&format!("random: all sites: {total}"));
    let row = |mode: &str, tally| Row {
        mode: mode.to_owned(),
        kills: total.kills,
        runs: total.runs,
        tally,
        spent: began.elapsed(),
        seed: torture.seed,
    };
    let mut rows = vec![row("random", total.output.clone())];
    for (name, tally) in &total.readers {
        rows.push(row(&format!("  {name}"), tally.clone()));
    }
    Ok(rows)
}
