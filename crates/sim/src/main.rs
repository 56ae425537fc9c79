//! `confluence-audit-sim`: a Confluence Cloud site on loopback, for trying a collector by hand.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use confluence_audit_sim::{Sim, SimConfig};
use jiff::fmt::friendly::SpanParser;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// Be a Confluence Cloud site on loopback, until interrupted.
///
/// Durations are like 200ms, 10m or 2h. Flags override the configuration file.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// What the site is like, its quirks and its faults, in TOML: the fields of the library's configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Port on 127.0.0.1 [default: one that the system chooses]
    #[arg(long)]
    port: Option<u16>,
    /// Records at the start [default: 1000]
    #[arg(long, value_name = "N")]
    records: Option<usize>,
    /// Compress bodies for clients that accept gzip
    #[arg(long)]
    gzip: bool,
    /// How long every response takes at least [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    latency: Option<Duration>,
    /// How long an access token lives [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expires_in: Option<Duration>,
    /// Keep what has been rendered, so that the site costs next to nothing: for benchmarks
    #[arg(long)]
    fast: bool,
}

impl Args {
    fn into_config(self) -> io::Result<SimConfig> {
        let mut config = match &self.config {
            Some(path) => read_config(path).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?,
            None => SimConfig::default(),
        };
        config.port = self.port.unwrap_or(config.port);
        config.records = self.records.unwrap_or(config.records);
        config.latency = self.latency.unwrap_or(config.latency);
        config.oauth.expires_in = self.expires_in.unwrap_or(config.oauth.expires_in);
        config.quirks.gzip |= self.gzip;
        config.fast |= self.fast;
        Ok(config)
    }
}

fn read_config(path: &Path) -> io::Result<SimConfig> {
    toml::from_str(&fs::read_to_string(path)?).map_err(io::Error::other)
}

fn duration(text: &str) -> Result<Duration, jiff::Error> {
    SpanParser::new().parse_unsigned_duration(text)
}

fn main() -> ExitCode {
    match Args::parse().into_config().and_then(run) {
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

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::{CommandFactory, Parser};
    use confluence_audit_sim::SimConfig;

    use super::Args;

    fn config(args: &[&str]) -> SimConfig {
        let args = Args::parse_from([&["sim"], args].concat());
        args.into_config().unwrap()
    }

    #[test]
    fn flags_hold_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn without_flags_the_defaults_of_the_library_hold() {
        assert_eq!(
            format!("{:?}", config(&[])),
            format!("{:?}", SimConfig::default())
        );
    }

    #[test]
    fn flags_override_the_file_and_nothing_else_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sim.toml");
        fs::write(
            &file,
            "seed = 7\nrecords = 1\nlatency = '1s'\nquirks = { gzip = true }",
        )
        .unwrap();
        let file = file.to_str().unwrap();
        let config = config(&["--config", file, "--records", "2", "--expires-in", "2s"]);
        assert_eq!(
            (config.seed, config.records, config.latency.as_secs()),
            (7, 2, 1)
        );
        assert!(config.quirks.gzip && !config.fast);
        assert_eq!(config.oauth.expires_in.as_secs(), 2);

        let wrong = Args::parse_from(["sim", "--config", "/nonexistent/sim.toml"]);
        let error = wrong.into_config().unwrap_err().to_string();
        assert!(error.starts_with("/nonexistent/sim.toml: "), "{error}");
        for negative in ["--latency=-1s", "--latency=soon"] {
            assert!(
                Args::try_parse_from(["sim", negative]).is_err(),
                "{negative}"
            );
        }
    }
}
