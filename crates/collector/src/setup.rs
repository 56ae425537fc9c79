//! What a program works with: the configuration in force, the state directory, and the way to the
//! sites.

use std::path::PathBuf;

use confluence_audit_core::Runtime;

use crate::Config;
use crate::delivery::OutputContext;
use crate::site::Sites;

/// The settings of a program, as it has read them from its arguments, the environment and the
/// configuration file.
#[derive(Clone)]
pub struct Setup {
    /// The configuration in force.
    pub config: Config,
    /// The file that it was read from, if there is one.
    pub config_file: Option<PathBuf>,
    /// Where what is kept between runs is.
    pub state_dir: PathBuf,
    /// The way to the sites.
    pub sites: Sites,
}

impl Setup {
    /// What outputs need to know.
    pub fn output_context(&self) -> OutputContext {
        OutputContext {
            state_dir: self.state_dir.clone(),
            credentials_dir: self.sites.credentials_dir().map(Into::into),
        }
    }

    /// The clock, sleep and randomness.
    pub fn runtime(&self) -> &dyn Runtime {
        self.sites.http().runtime()
    }
}
