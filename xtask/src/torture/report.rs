//! Report of a torture run: one row a mode.

use std::time::Duration;

use crate::tally::Tally;

/// The outcome of one mode.
pub(crate) struct Row {
    pub(crate) mode: String,
    pub(crate) kills: u64,
    pub(crate) runs: u64,
    pub(crate) tally: Tally,
    pub(crate) spent: Duration,
    pub(crate) seed: u64,
}

/// Prints all rows.
pub(crate) fn print(rows: &[Row]) {
    println!();
    println!(
        "{:<18}{:>7}{:>7}{:>10}{:>7}{:>7}{:>7}{:>9}{:>22}",
        "mode", "kills", "runs", "records", "lost", "twice", "torn", "seconds", "seed"
    );
    for row in rows {
        let tally = &row.tally;
        println!(
            "{:<18}{:>7}{:>7}{:>10}{:>7}{:>7}{:>7}{:>9.1}{:>22}",
            row.mode,
            row.kills,
            row.runs,
            tally.records,
            tally.lost,
            tally.twice,
            tally.torn,
            row.spent.as_secs_f64(),
            row.seed
        );
    }
    for row in rows {
        for example in &row.tally.examples {
            println!("{}: {example}", row.mode.trim());
        }
    }
}
