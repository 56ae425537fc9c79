//! The benchmark: the real program of the release profile against what people use today, in turn
//! and in the same run, so that a noisy machine slows both down. What counts is the ratio.

mod case;
mod hot_path;
mod idle;
mod instructions;
mod measure;
mod site;
mod state;
mod table;

use std::path::PathBuf;

use crate::error::Result;
use crate::workspace::{Profile, build};

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

/// The programs that are measured.
pub(crate) struct Programs {
    pub(crate) collector: PathBuf,
    pub(crate) setup: PathBuf,
    pub(crate) daemon: PathBuf,
    pub(crate) sim: PathBuf,
    /// Goes through the hot path alone.
    pub(crate) hot_path: PathBuf,
}

impl Programs {
    fn build() -> Result<Self> {
        let packages = [
            "confluence-audit-cli",
            "confluence-audit-daemon",
            "confluence-audit-oauth-setup",
            "confluence-audit-sim",
        ];
        let release = build(&packages, Profile::Release)?;
        Ok(Self {
            collector: release.join("confluence-audit"),
            setup: release.join("confluence-audit-oauth-setup"),
            daemon: release.join("confluence-auditd"),
            sim: release.join("confluence-audit-sim"),
            hot_path: hot_path::build()?,
        })
    }
}

/// What is measured alone.
struct Other {
    name: &'static str,
    takes_minutes: bool,
    measure: fn(&Programs) -> Result<String>,
}

const OTHERS: [Other; 4] = [
    Other {
        name: "hot-path",
        takes_minutes: false,
        measure: hot_path::measure,
    },
    Other {
        name: "state",
        takes_minutes: true,
        measure: state::measure,
    },
    Other {
        name: "idle",
        takes_minutes: true,
        measure: idle::measure,
    },
    Other {
        name: "sizes",
        takes_minutes: false,
        measure: table::sizes,
    },
];

/// Runs the cases that were asked for, and prints their table.
pub(crate) fn run(args: &Args) -> Result {
    if args.list {
        let cases = case::all();
        let others = OTHERS.iter().map(|other| other.name);
        for name in cases.iter().map(|case| case.name).chain(others) {
            println!("{name}");
        }
        return Ok(());
    }
    if args.instructions {
        return instructions::run(args.accept);
    }
    let is_asked = |name: &str| args.only.is_empty() || args.only.iter().any(|it| it == name);
    let is_due = |name: &str, takes_minutes: bool| {
        is_asked(name) && (args.long || !args.only.is_empty() || !takes_minutes)
    };
    let cases = case::all();
    let others = OTHERS.iter().map(|other| other.name);
    let known: Vec<&str> = cases.iter().map(|case| case.name).chain(others).collect();
    if let Some(unknown) = args
        .only
        .iter()
        .find(|name| !known.contains(&name.as_str()))
    {
        return Err(format!("no case is called {unknown}; see `cargo xtask bench --list`").into());
    }
    let programs = Programs::build()?;
    let mut rows = Vec::new();
    for case in &cases {
        if is_due(case.name, case.takes_minutes) {
            println!("==> {}", case.name);
            rows.push(case.run(&programs, args.runs.max(1))?);
        }
    }
    let mut text = format!("{}\n\n{}", table::machine(), table::of(&rows));
    for other in OTHERS {
        if is_due(other.name, other.takes_minutes) {
            println!("==> {}", other.name);
            text.push_str(&(other.measure)(&programs)?);
        }
    }
    println!("\n{text}");
    Ok(())
}
