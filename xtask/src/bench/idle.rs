//! Cost of an idle daemon: memory, requests, wake-ups and CPU.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::programs::Programs;
use crate::daemon::Daemon;
use crate::error::Result;

/// How many sites, and how many megabytes a daemon may have resident for them.
const CASES: [(usize, f64); 2] = [(1, 15.0), (5_000, 150.0)];

/// So long nothing is due: a site is read again after an hour.
const INTERVAL: Duration = Duration::from_hours(1);
const SPAN: Duration = Duration::from_mins(1);

/// How long all sites may take until each was read once.
const FIRST_RUNS_TIMEOUT: Duration = Duration::from_mins(10);

/// What a process has used.
struct Used {
    /// How often each of its threads was woken.
    wakes: BTreeMap<OsString, u64>,
    cpu: Duration,
}

impl Used {
    fn wakes_since(&self, before: &Self) -> u64 {
        let threads = self.wakes.iter();
        let wakes = threads.map(|(thread, count)| match before.wakes.get(thread) {
            Some(before) => count.saturating_sub(*before),
            None => *count,
        });
        wakes.sum()
    }
}

/// Lets a daemon read its sites once, and looks at what it does in the minute after that.
pub(super) fn measure(programs: &Programs) -> Result<String> {
    let mut text = String::new();
    for (sites, enough) in CASES {
        let mut daemon = Daemon::start(&programs.daemon, sites, INTERVAL)?;
        let began = Instant::now();
        while daemon.sample()?.successes.len() < sites {
            if began.elapsed() > FIRST_RUNS_TIMEOUT {
                return Err(
                    format!("{sites} sites were not read in {FIRST_RUNS_TIMEOUT:?}").into(),
                );
            }
            sleep(Duration::from_secs(1));
        }
        // Threads that have nothing to do end after ten seconds.
        sleep(Duration::from_secs(15));
        let first = daemon.sample()?;
        let before = used(&daemon)?;
        sleep(SPAN);
        let after = used(&daemon)?;
        let last = daemon.sample()?;
        let resident = last.resident as f64 * 1024.0 / 1e6;
        daemon.end()?;
        writeln!(
            text,
            "\nA daemon with {sites} idle sites has {resident:.1} MB resident ({enough:.0} are \
             allowed). In a minute it made {} requests, its threads were woken {} times, and it \
             took {:.2} s of CPU.",
            last.requests - first.requests,
            after.wakes_since(&before),
            after.cpu.saturating_sub(before.cpu).as_secs_f64()
        )?;
    }
    Ok(text)
}

fn used(daemon: &Daemon) -> Result<Used> {
    let mut wakes = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{}/task", daemon.id()))? {
        let task = task?;
        let status = fs::read_to_string(task.path().join("status"))?;
        let mut lines = status.lines();
        let count = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let count = count.ok_or("no count of switches")?.trim().parse()?;
        wakes.insert(task.file_name(), count);
    }
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.id()))?;
    // Behind the name, which may hold anything: user and system time are fields 14 and 15.
    let fields = stat.rsplit_once(") ").ok_or("no fields")?.1.split(' ');
    let ticks: Vec<u64> = fields
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    // A tick is a hundredth of a second on every Linux.
    let cpu = Duration::from_millis(ticks.iter().sum::<u64>() * 10);
    Ok(Used { wakes, cpu })
}
