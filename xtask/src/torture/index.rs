//! Torture mode `index`: the output is an index of Elasticsearch's protocol. The server is ours: it applies
//! what it is sent and then loses the answer, takes a part and refuses the rest for now, or takes nothing,
//! while the program is killed at random instants. In the end it has to hold every record once.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use confluence_audit_sim::{FaultRates, NewRecords, SimConfig, When};
use fastrand::Rng;

use super::bulk_server::{BulkFaults, BulkServer};
use super::report::Row;
use super::settings::{Settings, progress};
use crate::error::Result;
use crate::tally::{self, Tally};
use crate::test_site::{Exit, TestSite};

/// Records that a site begins with.
const RECORDS: usize = 2_500;

/// After so many kills another site begins.
const KILLS_A_SITE: u64 = 60;

const FAULTS: BulkFaults = BulkFaults {
    lost: 0.15,
    refused: 0.10,
    partial: 0.15,
};

/// Runs the mode.
pub(crate) fn run(settings: &Settings) -> Result<Vec<Row>> {
    let began = Instant::now();
    // As many as the gate has time for; each site takes a first run.
    let wanted = settings.kills / if settings.short { 2 } else { 4 };
    let (mut kills, mut runs, mut tally) = (0, 0, Tally::default());
    let mut round = 0;
    while kills < wanted {
        let seed = settings.seed.wrapping_add(round);
        let outcome = crash_test(settings, seed, KILLS_A_SITE.min(wanted - kills))?;
        progress(&format!(
            "index: site {round} (seed {seed}): {}",
            outcome.summary
        ));
        kills += outcome.kills;
        runs += outcome.runs;
        tally += outcome.tally;
        round += 1;
    }
    Ok(vec![Row {
        mode: "index".to_owned(),
        kills,
        runs,
        tally,
        spent: began.elapsed(),
        seed: settings.seed,
    }])
}

struct Outcome {
    kills: u64,
    runs: u64,
    tally: Tally,
    summary: String,
}

/// Kills the program so often while it delivers the records of one site.
fn crash_test(settings: &Settings, seed: u64, kills_wanted: u64) -> Result<Outcome> {
    let mut rng = Rng::with_seed(seed);
    let mut site = TestSite::start(
        &settings.program,
        SimConfig {
            seed,
            records: RECORDS,
            twins: 0.05,
            hostile: 0.05,
            ..SimConfig::default()
        },
    )?;
    let index = BulkServer::start(seed)?;
    // Small batches, so that a run has many requests.
    site.set_outputs(&format!(
        "[[output]]\nkind = \"elasticsearch\"\nurl = {:?}\nindex = \"audit\"\nformat = \"raw\"\n\
         batch_records = 100\n",
        index.url(),
    ))?;
    index.set_faults(FAULTS);
    let (mut kills, mut runs, mut at_work) = (0, 0, 0);
    let mut length = 0.5;
    while kills < kills_wanted {
        site.sim.insert(&NewRecords {
            count: rng.usize(..400),
            when: When::Now,
            twins: rng.usize(..3) == 0,
        });
        runs += 1;
        let requests = index.requests();
        let began = Instant::now();
        let mut child = site.fetch()?.spawn()?;
        if rng.usize(..3) > 0 {
            // Not before it delivers.
            while index.requests() == requests && child.try_wait()?.is_none() {
                sleep(Duration::from_millis(1));
            }
            sleep(Duration::from_secs_f64(0.3 * rng.f64()));
        } else {
            sleep(Duration::from_secs_f64(length * rng.f64()));
        }
        // It may have ended by itself.
        let _ = child.kill();
        match site.exit(child.wait()?)? {
            Exit::Killed(_) => {
                kills += 1;
                at_work += u64::from(index.requests() > requests);
            }
            // Longer than it takes is of no use; shorter waits miss the end.
            Exit::Done(_) => length = f64::midpoint(length, began.elapsed().as_secs_f64()),
            Exit::Failed(69 | 74 | 75) => {}
            Exit::Failed(code) => {
                site.keep();
                return Err(site.failure(&format!("a run ended with {code}")));
            }
        }
        // What fails takes longer than what is killed.
        length = (length * 1.05).min(3.0);
    }
    index.set_faults(BulkFaults::default());
    site.sim.set_faults(FaultRates::default());
    runs += site.settle()?;

    let copy = site.folder().join("lines");
    fs::write(&copy, index.documents().join("\n") + "\n")?;
    let tally = tally::compare(site.sim.truth(), [&copy])?;
    if !tally.is_clean() {
        site.keep();
    }
    let letters = site.state().join("dead-letters");
    let refused = fs::read_dir(letters).map_or(0, Iterator::count);
    if refused > 0 {
        site.keep();
        return Err("a record became a dead letter, and none was at fault".into());
    }
    Ok(Outcome {
        kills,
        runs,
        summary: format!(
            "{kills} kills, {at_work} of them while it was delivering; {runs} runs, {} records; {}",
            tally.records,
            index.summary()
        ),
        tally,
    })
}
