//! `cargo xtask outputs`: delivery to services that are not ours. These are rsyslog, two servers of
//! Elasticsearch's protocol, OpenTelemetry's published types in Python, `DuckDB` over the files, and
//! several outputs together, one of them dead. What cannot be installed is named, and the rest goes on.

mod duckdb;
mod elasticsearch;
mod otlp;
mod rsyslog;
mod services;
mod together;

use crate::error::Result;
use crate::workspace::{Profile, build};

/// What `cargo xtask outputs` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build for release, and deliver 100,000 records to four outputs at once
    #[arg(long)]
    full: bool,
    /// Deliver to these alone; may be given several times
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
}

/// Where is delivered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Rsyslog,
    Elasticsearch,
    Otlp,
    Duckdb,
    Together,
}

/// Builds the program, installs the services, and delivers to each.
pub(crate) fn run(args: &Args) -> Result {
    let (profile, records) = if args.full {
        (Profile::Release, 100_000)
    } else {
        (Profile::Debug, 5_000)
    };
    let program = build(&["confluence-audit-cli"], profile)?.join("confluence-audit");
    let is_wanted = |part| args.only.is_empty() || args.only.contains(&part);
    if is_wanted(Part::Rsyslog) {
        rsyslog::run(&program)?;
    }
    let services = match services::install() {
        Ok(services) => services,
        Err(error) => {
            println!("skipped: {error}");
            return Ok(());
        }
    };
    if is_wanted(Part::Elasticsearch) {
        for server in elasticsearch::Server::ALL {
            elasticsearch::run(server, &program, &services)?;
        }
    }
    if is_wanted(Part::Otlp) {
        otlp::run(&program, &services)?;
    }
    if is_wanted(Part::Duckdb) {
        duckdb::run(&program, &services)?;
    }
    if is_wanted(Part::Together) {
        together::run(&program, &services, records)?;
    }
    Ok(())
}
