//! `cargo xtask torture`: crash and fault injection. The real program collects from a simulated site while
//! it is killed, starved and failed in every way that can be thought of; then it is left to finish. In the
//! end every record of the site has to stand in the output once: none lost, none twice, none torn.

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
mod settings;
mod syscalls;

use clap::ValueEnum;
use report::Row;
use settings::Settings;

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
    fn run(self, settings: &Settings) -> Result<Vec<Row>> {
        match self {
            Self::Random => random::run(settings),
            Self::Syscall => syscalls::kill(settings),
            Self::Error => syscalls::fail(settings),
            Self::Full => disk_full::run(settings),
            Self::Index => index::run(settings),
            Self::Backfill => backfill::run(settings),
        }
    }
}

/// Runs the modes that were asked for, by default all, and prints the table.
pub(crate) fn run(args: &Args) -> Result {
    let profile = if args.short {
        Profile::Debug
    } else {
        Profile::Release
    };
    let settings = Settings {
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
        rows.extend(mode.run(&settings)?);
    }
    report::print(&rows);
    if rows.iter().all(|row| row.tally.is_clean()) {
        Ok(())
    } else {
        Err("the promise is broken".into())
    }
}
