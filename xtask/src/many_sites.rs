//! `cargo xtask many-sites`: hundreds of sites of one simulated service, read by one daemon. Each has to be
//! read on time, memory has to stay flat, and metrics have to be what the service counted.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use confluence_audit_sim::NewRecords;

use crate::daemon::Daemon;
use crate::error::Result;
use crate::workspace::{Profile, build};

/// What `cargo xtask many-sites` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many sites
    #[arg(long, default_value_t = 500)]
    sites: usize,
    /// For how many minutes, the first of which is not measured
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The time between two passes over a site, in seconds
    #[arg(long, default_value_t = 60)]
    interval: u64,
    /// Build the program without optimisation
    #[arg(long)]
    debug: bool,
}

/// How often the daemon is sampled.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);

/// How late a pass may end at most, beyond its interval.
const LATE: f64 = 10.0;

/// How much more memory may be taken at the end than after the first passes.
const GROWTH: f64 = 1.1;

/// Runs it.
pub(crate) fn run(args: &Args) -> Result {
    let profile = if args.debug {
        Profile::Debug
    } else {
        Profile::Release
    };
    let program = build(&["confluence-audit-daemon"], profile)?.join("confluence-auditd");
    let mut daemon = Daemon::start(&program, args.sites, Duration::from_secs(args.interval))?;
    let done = watch(args, &daemon);
    let began = Instant::now();
    let status = daemon.end()?;
    let took = began.elapsed();
    println!("ended in {:.1} s: {status}", took.as_secs_f64());
    done?;
    compare(args, &daemon)?;
    if took > Duration::from_secs(10) || !status.success() {
        return Err("it did not end as it should".into());
    }
    Ok(())
}

/// Samples the daemon until its time is over.
fn watch(args: &Args, daemon: &Daemon) -> Result {
    let sim = &daemon.sim;
    let began = Instant::now();
    let length = Duration::from_secs(60 * args.minutes);
    let end = began + length;
    // In the last interval nothing new comes, so that all sites have everything at the end.
    let quiet = began + length.saturating_sub(Duration::from_secs(args.interval + 20));
    let mut passes: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut memory = Vec::new();
    while Instant::now() < end {
        sleep(SAMPLE_INTERVAL);
        if Instant::now() < quiet {
            sim.insert(&NewRecords {
                count: 1,
                ..NewRecords::default()
            });
        }
        let sample = daemon.sample()?;
        for (site, at) in sample.successes {
            let times = passes.entry(site).or_default();
            if times.last() != Some(&at) {
                times.push(at);
            }
        }
        memory.push((began.elapsed(), sample.resident));
    }
    let before = sim.stats().count("", "") as f64;
    let last = daemon.sample()?;
    let after = sim.stats().count("", "") as f64;
    let mut faults = Vec::new();
    check_passes(args, &passes, &mut faults);
    check_memory(&memory, &mut faults);
    println!(
        "requests: {} by the metrics, {before} to {after} by the service",
        last.requests
    );
    // An answer on its way is counted by the service alone.
    if last.requests > after || last.requests < before - 64.0 {
        faults.push("the requests are not those that the service has seen".to_owned());
    }
    let truth = (sim.truth().len() * args.sites) as f64;
    println!("records: {} by the metrics, {truth} in truth", last.records);
    if (last.records - truth).abs() > 0.5 {
        faults.push("the records are not those that the service has".to_owned());
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.join("; ").into())
    }
}

/// Whether each site was read in time, again and again.
fn check_passes(args: &Args, passes: &BTreeMap<String, Vec<f64>>, faults: &mut Vec<String>) {
    let interval = args.interval as f64;
    let gaps = passes.values().flat_map(|times| {
        // A site moves to its own slot after its first pass.
        times.windows(2).skip(1).map(|pair| pair[1] - pair[0])
    });
    let gaps: Vec<f64> = gaps.collect();
    let longest = gaps.iter().copied().fold(0.0, f64::max);
    let late = gaps.iter().filter(|gap| **gap > interval + LATE).count();
    let fewest = passes.values().map(Vec::len).min().unwrap_or(0);
    println!(
        "passes: {} sites, {fewest} or more each; {longest:.1} s at most between two, {late} of {} \
         late",
        passes.len(),
        gaps.len()
    );
    let expected = usize::try_from(args.minutes * 60 / args.interval).unwrap_or(0);
    if passes.len() != args.sites || late > 0 || fewest + 2 < expected {
        faults.push("not every site was on time".to_owned());
    }
}

fn check_memory(memory: &[(Duration, u64)], faults: &mut Vec<String>) {
    let warm = memory.len() / 4;
    let most = |part: &[(Duration, u64)]| part.iter().map(|(_, it)| *it).max().unwrap_or(0);
    let (early, late) = memory.split_at(memory.len() / 2);
    let (early, late) = (most(&early[warm.min(early.len())..]), most(late));
    println!("memory: {early} KiB at most in the second quarter, {late} KiB in the second half");
    if late as f64 > early as f64 * GROWTH {
        faults.push("memory grows".to_owned());
    }
}

/// Whether the file has every record of every site, once.
fn compare(args: &Args, daemon: &Daemon) -> Result {
    let text = fs::read_to_string(daemon.output())?;
    let expected = daemon.sim.truth().len() * args.sites;
    let (mut seen, mut lines) = (HashSet::new(), 0_usize);
    for line in text.lines() {
        lines += 1;
        seen.insert(blake3::hash(line.as_bytes()));
    }
    println!(
        "lines: {lines}, {} of them different, {expected} in truth",
        seen.len()
    );
    // A line names its site and which of several equal records it is.
    if lines == expected && seen.len() == expected {
        Ok(())
    } else {
        Err("the output is not what the sites have".into())
    }
}
