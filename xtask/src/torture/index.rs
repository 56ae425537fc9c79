//! Mode `index`: Elasticsearch's language as the output. The index is ours: it applies what it is
//! sent and then loses the answer, takes a part and refuses the rest for now, or takes nothing,
//! while the program is killed at random instants. In the end it has to hold every record once.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use confluence_audit_sim::{FaultRates, NewRecords, SimConfig, When};
use fastrand::Rng;

use super::Torture;
use super::bulk_server::{Bulk, Rates};
use super::report::Row;
use crate::error::Result;
use crate::tally::{self, Tally};
use crate::test_site::{Exit, TestSite};

/// Records that a site begins with.
const RECORDS: usize = 2_500;

/// So many kills befall one site; then another begins.
const KILLS_A_SITE: u64 = 60;

/// How often the index is out of order in some way.
const RATES: Rates = Rates {
    lost: 0.15,
    refused: 0.10,
    partial: 0.15,
};

/// Runs the mode.
pub(crate) fn run(torture: &Torture) -> Result<Vec<Row>> {
    let began = Instant::now();
    // As many as the gate has time for; each site takes a first run.
    let wanted = torture.kills / if torture.short { 2 } else { 4 };
    let (mut kills, mut runs, mut tally) = (0, 0, Tally::default());
    let mut round = 0;
    while kills < wanted {
        let seed = torture.seed.wrapping_add(round);
        let most = KILLS_A_SITE.min(wanted - kills);
        let came = endure(torture, seed, most)?;
        torture.say(&format!("index: site {round} (seed {seed}): {}", came.said));
        kills += came.kills;
        runs += came.runs;
        tally += came.tally;
        round += 1;
    }
    Ok(vec![Row {
        mode: "index".to_owned(),
        kills,
        runs,
        tally,
        spent: began.elapsed(),
        seed: torture.seed,
    }])
}

struct Came {
    kills: u64,
    runs: u64,
    tally: Tally,
    said: String,
}

fn endure(torture: &Torture, seed: u64, most: u64) -> Result<Came> {
    let mut rng = Rng::with_seed(seed);
    let mut site = TestSite::start(
        &torture.program,
        SimConfig {
            seed,
            records: RECORDS,
            twins: 0.05,
            hostile: 0.05,
            ..SimConfig::default()
        },
    )?;
    let index = Bulk::start(seed)?;
    // Small batches, so that a run has many requests.
    site.set_outputs(&format!(
        "[[output]]\nkind = \"elasticsearch\"\nurl = {:?}\nindex = \"audit\"\nformat = \"raw\"\n\
         batch_records = 100\n",
        index.url(),
    ))?;
    index.set_rates(RATES);
    let (mut kills, mut runs, mut at_work) = (0, 0, 0);
    let mut length = 0.5;
    while kills < most {
        site.sim.insert(&NewRecords {
            count: rng.usize(..400),
            when: When::Now,
            twins: rng.usize(..3) == 0,
        });
        runs += 1;
        let asked = index.requests();
        let began = Instant::now();
        let mut child = site.fetch()?.spawn()?;
        if rng.usize(..3) > 0 {
            // Not before it delivers.
            while index.requests() == asked && child.try_wait()?.is_none() {
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
                at_work += u64::from(index.requests() > asked);
            }
            // Longer than it takes is of no use; shorter waits miss the end.
            Exit::Done(_) => length = f64::midpoint(length, began.elapsed().as_secs_f64()),
            Exit::Failed(69 | 74 | 75) => {}
            Exit::Failed(code) => {
                site.keep();
                return Err(format!("a run ended with {code}: {}", site.stderr()).into());
            }
        }
        // What fails takes longer than what is killed.
        length = (length * 1.05).min(3.0);
    }
    index.set_rates(Rates::default());
    site.sim.set_faults(FaultRates::default());
    runs += site.settle()?;

    let documents = index.documents();
    let all = site.folder().join("all");
    fs::write(&all, documents.join("\n") + "\n")?;
    let tally = tally::compare(site.sim.truth(), [&all])?;
    if !tally.is_clean() {
        site.keep();
    }
    let letters = site.state().join("dead-letters");
    let refused = fs::read_dir(letters).map_or(0, Iterator::count);
    if refused > 0 {
        site.keep();
        return Err("a record became a dead letter, and none was to blame".into());
    }
    Ok(Came {
        kills,
        runs,
        said: format!(
            "{kills} kills, {at_work} of them while it was delivering; {runs} runs, {} records; {}",
            tally.records,
            index.said()
        ),
        tally,
    })
}
