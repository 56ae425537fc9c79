//! The benchmark: the real program of the release profile against what people use today, in turn
//! and in the same run, so that a noisy machine slows both down. What counts is the ratio.

mod case;
mod measure;
mod site;
mod table;

use std::path::PathBuf;

use crate::Result;
use crate::build::{Profile, build};

/// What `cargo xtask bench` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many times each case is run, after one run that does not count
    #[arg(long, value_name = "N", default_value_t = 5)]
    runs: usize,
    /// Run this case alone; may be given several times
    #[arg(long, value_name = "CASE")]
    only: Vec<String>,
    /// Also the cases that take minutes: ten million records, a thousand slow pages
    #[arg(long)]
    long: bool,
    /// Print the cases' names and run nothing
    #[arg(long)]
    list: bool,
}

/// The programs that are measured.
pub(crate) struct Programs {
    pub(crate) collector: PathBuf,
    pub(crate) sim: PathBuf,
}

/// Runs the cases that were asked for, and prints their table.
pub(crate) fn run(args: &Args) -> Result {
    if args.list {
        for case in case::all() {
            println!("{}", case.name);
        }
        return Ok(());
    }
    let cases: Vec<_> = case::all()
        .into_iter()
        .filter(|case| args.only.is_empty() || args.only.iter().any(|name| name == case.name))
        .filter(|case| args.long || !case.takes_minutes)
        .collect();
    if cases.is_empty() {
        return Err("no case is called so; see `cargo xtask bench --list`".into());
    }
    let packages = ["confluence-audit-cli", "confluence-audit-sim"];
    let release = build(&packages, Profile::Release)?;
    let programs = Programs {
        collector: release.join("confluence-audit"),
        sim: release.join("confluence-audit-sim"),
    };
    let mut rows = Vec::new();
    for case in &cases {
        println!("==> {}", case.name);
        rows.push(case.run(&programs, args.runs.max(1))?);
    }
    println!("\n{}\n", table::machine());
    print!("{}", table::of(&rows));
    table::sizes(&programs)
}
