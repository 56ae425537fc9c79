//! The settings of the daemon: the file, and what flags and environment say of its place.

use std::path::PathBuf;

use confluence_audit_collector::config::default_config_file;
use confluence_audit_collector::delivery::OutputContext;
use confluence_audit_collector::env::credentials_dir;
use confluence_audit_collector::pass::PassOptions;
use confluence_audit_collector::state::default_state_dir;
use confluence_audit_collector::{Config, Error, ErrorKind, Result};
use confluence_audit_core::{Http, Runtime as _, SystemRuntime};

use crate::args::Args;

/// What the daemon works with until it is told to read its configuration again.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) config_file: PathBuf,
    pub(crate) state_dir: PathBuf,
    /// Where systemd puts credentials.
    pub(crate) credentials_dir: Option<PathBuf>,
}

impl Settings {
    /// Reads the file, and refuses one that leaves nothing to do.
    pub(crate) fn read(args: &Args) -> Result<Self> {
        let Some(config_file) = args.config.clone().or_else(default_config_file) else {
            return Err(Error::new(
                ErrorKind::Config,
                "there is no configuration file",
                "Write one with `confluence-audit generate config`, to \
                 /etc/confluence-audit/config.toml, or name another with --config.",
            ));
        };
        let config = Config::load(&config_file)?;
        let missing = |what: &str, remedy: &'static str| {
            let message = format!("{} names no {what}", config_file.display());
            Error::new(ErrorKind::Config, message, remedy)
        };
        if config.sites.is_empty() {
            return Err(missing("site", "Add a [[site]] with name, url and auth."));
        }
        if config.outputs.is_empty() {
            return Err(missing(
                "output",
                "Add an [[output]], such as kind = \"file\" with a path: a daemon has no working \
                 directory that a default could mean.",
            ));
        }
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        let state_dir = match args.state_dir.clone().or(config.state.dir.clone()) {
            Some(dir) => dir,
            None => default_state_dir()?,
        };
        Ok(Self {
            config,
            config_file,
            state_dir,
            credentials_dir: credentials_dir(),
        })
    }

    /// The same, read again; what cannot change while the daemon runs must not have.
    pub(crate) fn read_again(&self, args: &Args) -> Result<Self> {
        let new = Self::read(args)?;
        if new.state_dir == self.state_dir {
            return Ok(new);
        }
        Err(Error::new(
            ErrorKind::Config,
            format!(
                "{}: [state] dir has become {}, and the state is in {}",
                new.config_file.display(),
                new.state_dir.display(),
                self.state_dir.display()
            ),
            "Restart the daemon to use another state directory; the old one holds what waits for \
             outputs.",
        ))
    }

    pub(crate) fn http(&self) -> Http {
        Http::builder()
            .user_agent(concat!("confluence-auditd/", env!("CARGO_PKG_VERSION")))
            .retry(self.config.collect.retry)
            .build()
    }

    pub(crate) fn output_context(&self) -> OutputContext {
        OutputContext {
            state_dir: self.state_dir.clone(),
            credentials_dir: self.credentials_dir.clone(),
        }
    }

    /// How a pass that begins now reads.
    pub(crate) fn pass_options(&self) -> PassOptions {
        PassOptions::of(&self.config, SystemRuntime.now())
    }
}
