//! The outputs at services that are not ours: rsyslog, two that speak Elasticsearch's language, each
//! by people of its own, the published types of OpenTelemetry in another language, `DuckDB` over our
//! files, and several outputs together, one of them dead. What cannot be installed is named, and the
//! rest goes on.

mod duckdb;
mod elasticsearch;
mod otlp;
mod rsyslog;
mod services;
mod together;

use std::path::Path;

use confluence_audit_sim::{FaultRates, SimConfig};

use crate::Result;
use crate::test_site::Site;
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
    let parts = match services::install() {
        Ok(parts) => parts,
        Err(error) => {
            println!("skipped: {error}");
            return Ok(());
        }
    };
    if is_wanted(Part::Elasticsearch) {
        for engine in elasticsearch::ENGINES {
            elasticsearch::run(engine, &program, &parts)?;
        }
    }
    if is_wanted(Part::Otlp) {
        otlp::run(&program, &parts)?;
    }
    if is_wanted(Part::Duckdb) {
        duckdb::run(&program, &parts)?;
    }
    if is_wanted(Part::Together) {
        together::run(&program, &parts, records)?;
    }
    Ok(())
}

/// A site with so many records and no faults, with twins, and with hostile texts in this part.
fn site(program: &Path, records: usize, hostile: f64) -> Result<Site> {
    let site = Site::start(
        program,
        SimConfig {
            records,
            twins: 0.05,
            hostile,
            ..SimConfig::default()
        },
    )?;
    site.sim.set_faults(FaultRates::default());
    Ok(site)
}
