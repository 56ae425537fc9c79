//! The torture: the real program against a simulated site, killed, starved and failed in every way
//! that can be thought of, then left to finish. In the end every record of the site has to stand
//! in the output once: none lost, none twice, none torn.

mod backfill;
mod bulk_server;
mod crash_test;
mod disk_full;
mod index;
mod inject;
mod logrotate;
mod random;
mod readers;
mod report;
mod syscalls;

use std::path::PathBuf;

use clap::ValueEnum;

use crate::error::Result;
use crate::process::is_installed;
use crate::workspace::{Profile, build};

/// What `cargo xtask torture` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many runs are killed at random; by default 2,000, in the short form 60
    #[arg(long, value_name = "N")]
    kills: Option<u64>,
    /// What chance is drawn from; printed with each row
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// A short form for the gate: the program of the dev profile, and a sample of each mode
    #[arg(long)]
    short: bool,
    /// Run this mode alone; may be given several times
    #[arg(long, value_name = "MODE")]
    only: Vec<Mode>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// SIGKILL at random instants, with faults, rotation and readers
    Random,
    /// SIGKILL at every system call that touches the disk
    Syscall,
    /// EIO and ENOSPC from every one of them
    Error,
    /// A small disk that fills up
    Full,
    /// SIGKILL at random instants, with an index as the output that loses answers
    Index,
    /// A million records, killed ten times; in the long form only
    Backfill,
}

impl Mode {
    fn run(self, torture: &Torture) -> Result<Vec<report::Row>> {
        match self {
            Self::Random => random::run(torture),
            Self::Syscall => syscalls::kill(torture),
            Self::Error => syscalls::fail(torture),
            Self::Full => disk_full::run(torture),
            Self::Index => index::run(torture),
            Self::Backfill => backfill::run(torture),
        }
    }
}

/// What every mode works with.
pub(crate) struct Torture {
    pub(crate) program: PathBuf,
    pub(crate) kills: u64,
    pub(crate) seed: u64,
    pub(crate) short: bool,
}

impl Torture {
    /// Says how far it is: some modes take minutes.
    #[expect(
        clippy::unused_self,
        reason = "only those who run a mode have something to say"
    )]
    pub(crate) fn say(&self, what: &str) {
        println!("    {what}");
    }
}

/// Runs the modes that were asked for, by default all, and prints the table.
pub(crate) fn run(args: &Args) -> Result {
    let profile = if args.short {
        Profile::Debug
    } else {
        Profile::Release
    };
    let torture = Torture {
        program: build(&["confluence-audit-cli"], profile)?.join("confluence-audit"),
        kills: args.kills.unwrap_or(if args.short { 60 } else { 2_000 }),
        seed: args.seed,
        short: args.short,
    };
    let modes = if args.only.is_empty() {
        Mode::value_variants()
    } else {
        &args.only
    };
    for tool in ["logrotate", "rsyslogd", "strace", "cc"] {
        if !is_installed(tool) {
            println!("{tool} is not installed: what needs it is skipped");
        }
    }
    let mut rows = Vec::new();
    for mode in modes {
        println!("==> {mode:?}");
        rows.extend(mode.run(&torture)?);
    }
    report::print(&rows);
    if rows.iter().all(|row| row.tally.is_clean()) {
        Ok(())
    } else {
        Err("the promise is broken".into())
    }
}
