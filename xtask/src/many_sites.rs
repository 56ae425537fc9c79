//! Many sites on one simulated service, read by one daemon: each on time, memory flat, and the
//! metrics true against the service's own count.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use confluence_audit_sim::{API_TOKEN, EMAIL, NewRecords, Sim, SimConfig};

use crate::Result;
use crate::build::{Profile, build};

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

/// How often the daemon is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// How late a pass may end at most, beyond its interval.
const LATE: f64 = 10.0;

/// How much more memory may be taken at the end than after the first passes.
const GROWTH: f64 = 1.1;

/// What was seen of the daemon at one instant.
struct Look {
    /// When each site's last pass reached its end.
    successes: BTreeMap<String, f64>,
    requests: f64,
    records: f64,
    resident: u64,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Result {
    let profile = if args.debug {
        Profile::Debug
    } else {
        Profile::Release
    };
    let program = build(&["confluence-audit-daemon"], profile)?.join("confluence-auditd");
    let sim = Sim::start(SimConfig {
        records: 20,
        any_cloud_id: true,
        ..SimConfig::default()
    })?;
    let place = tempfile::tempdir()?;
    write_configuration(args, &sim, place.path())?;
    let (mut daemon, address) = start(&program, place.path())?;
    let done = watch(args, &sim, &daemon, &address);
    Command::new("kill").arg(daemon.id().to_string()).status()?;
    let began = Instant::now();
    let status = daemon.wait()?;
    println!("ended in {:.1} s: {status}", began.elapsed().as_secs_f64());
    done?;
    compare(args, &sim, &place.path().join("out.ndjson"))?;
    if began.elapsed() > Duration::from_secs(10) || !status.success() {
        return Err("it did not end as it should".into());
    }
    Ok(())
}

fn write_configuration(args: &Args, sim: &Sim, place: &Path) -> Result {
    let token = place.join("token");
    let mut options = fs::File::options();
    let file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&token);
    std::io::Write::write_all(&mut file?, API_TOKEN.as_bytes())?;
    let mut text = format!(
        "[state]\ndir = \"{}\"\n[collect]\ninterval = \"{}s\"\n\
         [[output]]\nkind = \"file\"\nformat = \"flat\"\npath = \"{}\"\n",
        place.join("state").display(),
        args.interval,
        place.join("out.ndjson").display()
    );
    for number in 0..args.sites {
        write!(
            text,
            "[[site]]\nname = \"site-{number}\"\ncloud_id = \"cloud-{number}\"\napi_url = \"{}\"\n\
             auth = {{ kind = \"api-token\", email = \"{EMAIL}\", token_file = \"{}\" }}\n",
            sim.url(),
            token.display()
        )?;
    }
    fs::write(place.join("config.toml"), text)?;
    Ok(())
}

/// Starts the daemon; it says where its metrics are.
fn start(program: &Path, place: &Path) -> Result<(Child, String)> {
    let mut daemon = Command::new(program)
        .arg("--config")
        .arg(place.join("config.toml"))
        .args(["--listen", "127.0.0.1:0"])
        .env_clear()
        .env("HOME", place)
        .stderr(Stdio::piped())
        .spawn()?;
    let said = daemon.stderr.take().ok_or("it says nothing")?;
    let mut lines = BufReader::new(said).lines();
    for line in lines.by_ref() {
        let line = line?;
        if let Some((_, rest)) = line.split_once("status page is at ") {
            let address = rest.trim_end_matches('/').to_owned();
            // What it says later: passes, and what is wrong.
            spawn(move || {
                for line in lines.map_while(std::io::Result::ok) {
                    if !line.contains("pass done") {
                        println!("  {line}");
                    }
                }
            });
            return Ok((daemon, address));
        }
        println!("  {line}");
    }
    Err("the daemon ended before it was ready".into())
}

/// Looks at the daemon until its time is over.
fn watch(args: &Args, sim: &Sim, daemon: &Child, address: &str) -> Result {
    let began = Instant::now();
    let length = Duration::from_secs(60 * args.minutes);
    let end = began + length;
    // In the last interval nothing new comes, so that all sites have everything at the end.
    let quiet = began + length.saturating_sub(Duration::from_secs(args.interval + 20));
    let mut passes: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut memory = Vec::new();
    while Instant::now() < end {
        sleep(LOOK);
        if Instant::now() < quiet {
            sim.insert(&NewRecords {
                count: 1,
                ..NewRecords::default()
            });
        }
        let look = look(daemon, address)?;
        for (site, at) in look.successes {
            let times = passes.entry(site).or_default();
            if times.last() != Some(&at) {
                times.push(at);
            }
        }
        memory.push((began.elapsed(), look.resident));
    }
    let before = sim.stats().count("", "") as f64;
    let last = look(daemon, address)?;
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

fn look(daemon: &Child, address: &str) -> Result<Look> {
    let text = ask(&format!("{address}/metrics"))?;
    let mut look = Look {
        successes: BTreeMap::new(),
        requests: 0.0,
        records: 0.0,
        resident: resident(daemon.id())?,
    };
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').ok_or("a line without a value")?;
        let value: f64 = value.parse()?;
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        match name.trim_start_matches("confluence_audit_") {
            "last_success_timestamp_seconds" => {
                look.successes.insert(labels.to_owned(), value);
            }
            "requests_total" => look.requests += value,
            "records_total" => look.records += value,
            _ => {}
        }
    }
    Ok(look)
}

fn ask(url: &str) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(async { reqwest::get(url).await?.text().await })?)
}

/// The memory that a process has resident, in KiB.
fn resident(id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let size = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(size.ok_or("no VmRSS")?.parse()?)
}

/// Whether the file has every record of every site, once.
fn compare(args: &Args, sim: &Sim, file: &Path) -> Result {
    let text = fs::read_to_string(file)?;
    let expected = sim.truth().len() * args.sites;
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
