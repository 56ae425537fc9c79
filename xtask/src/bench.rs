//! `cargo xtask bench`: the real program of the release profile against what people use today, in pairs
//! within the same run, so that a noisy machine slows both down. What counts is the median of their ratios.

mod case;
mod hot_path;
mod idle;
mod instructions;
mod measure;
mod programs;
mod sim_process;
mod state;
mod table;

use crate::error::Result;
use programs::Programs;

/// What `cargo xtask bench` takes.
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct Args {
    /// How many times each case is run, after one run that does not count
    #[arg(long, value_name = "N", default_value_t = 5)]
    runs: usize,
    /// Run this case alone; may be given several times
    #[arg(long, value_name = "CASE")]
    only: Vec<String>,
    /// Also the cases that take minutes: ten million records, a thousand slow pages, thousands of
    /// idle sites
    #[arg(long)]
    long: bool,
    /// Print the cases' names and run nothing
    #[arg(long)]
    list: bool,
    /// Count the instructions of the hot path with callgrind instead, and compare them with those
    /// that are committed
    #[arg(long)]
    instructions: bool,
    /// With --instructions: write the counts down as the ones to compare with
    #[arg(long, requires = "instructions")]
    accept: bool,
}

/// A measurement that is no comparison of two sides; it gives sentences.
struct Measurement {
    name: &'static str,
    takes_minutes: bool,
    measure: fn(&Programs) -> Result<String>,
}

const fn measurement(
    name: &'static str,
    takes_minutes: bool,
    measure: fn(&Programs) -> Result<String>,
) -> Measurement {
    Measurement {
        name,
        takes_minutes,
        measure,
    }
}

const MEASUREMENTS: [Measurement; 4] = [
    measurement("hot-path", false, hot_path::measure),
    measurement("state", true, state::measure),
    measurement("idle", true, idle::measure),
    measurement("sizes", false, programs::sizes),
];

/// Runs the cases that were asked for, and prints their table.
pub(crate) fn run(args: &Args) -> Result {
    if args.instructions {
        return instructions::run(args.accept);
    }
    let cases = case::all();
    let others = MEASUREMENTS.iter().map(|other| other.name);
    let known: Vec<&str> = cases.iter().map(|case| case.name).chain(others).collect();
    if args.list {
        println!("{}", known.join("\n"));
        return Ok(());
    }
    if let Some(unknown) = args
        .only
        .iter()
        .find(|name| !known.contains(&name.as_str()))
    {
        return Err(format!("no case is called {unknown}; see `cargo xtask bench --list`").into());
    }
    let is_due = |name: &str, takes_minutes: bool| {
        if args.only.is_empty() {
            args.long || !takes_minutes
        } else {
            args.only.iter().any(|only| only == name)
        }
    };
    let programs = Programs::build()?;
    let mut rows = Vec::new();
    for case in &cases {
        if is_due(case.name, case.takes_minutes) {
            println!("==> {}", case.name);
            rows.push(case.run(&programs, args.runs.max(1))?);
        }
    }
    let mut text = format!("{}\n\n{}", table::machine(), table::of(&rows));
    for other in MEASUREMENTS {
        if is_due(other.name, other.takes_minutes) {
            println!("==> {}", other.name);
            text.push_str(&(other.measure)(&programs)?);
        }
    }
    println!("\n{text}");
    Ok(())
}
