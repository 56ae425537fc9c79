//! `confluence-audit-sim`: a Confluence Cloud site on loopback, for trying a collector by hand.

mod flags;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use confluence_audit_sim::{Sim, SimConfig};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::flags::Flags;

fn main() -> ExitCode {
    match run(Flags::parse().into_config()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("confluence-audit-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: SimConfig) -> io::Result<()> {
    Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            // Before the address is known to anyone, so that no signal finds us unready.
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let sim = Sim::start(config)?;
            announce(&sim).or_else(|error| {
                if error.kind() == io::ErrorKind::BrokenPipe {
                    Ok(())
                } else {
                    Err(error)
                }
            })?;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            Ok(())
        })
}

/// Says where the site is and how to get in. The credentials are made up and open nothing else.
fn announce(sim: &Sim) -> io::Result<()> {
    let config = sim.config();
    let mut out = io::stdout().lock();
    writeln!(out, "url             {}", sim.url())?;
    writeln!(out, "cloud id        {}", sim.cloud_id())?;
    writeln!(out, "email           {}", config.email)?;
    writeln!(
        out,
        "api token       {}  (scoped: under {}/ex/confluence/)",
        config.api_token,
        sim.url()
    )?;
    writeln!(
        out,
        "unscoped token  {}  (under {}/wiki/)",
        config.unscoped_token,
        sim.url()
    )?;
    writeln!(out, "client id       {}", config.oauth.client_id)?;
    writeln!(out, "client secret   {}", config.oauth.client_secret)?;
    writeln!(out, "records         {}", sim.truth().len())?;
    writeln!(out, "truth           {}/_sim/truth", sim.url())?;
    out.flush()
}
