//! The configuration: which sites are read, how often, and where their records go.
//!
//! This file turns the text of `config.toml` into values that can be relied on; flags and the
//! environment are laid over them by the binaries, which is why every field is public. All mistakes
//! are reported at once, each with its line, because the person who made them has the file open.

mod collect;
mod default_file;
mod site;
mod state;
#[cfg(test)]
mod tests;

use std::path::Path;

use toml::de::DeTable;

use crate::table::{File, Mistake, Table, describe};
use crate::{Error, ErrorKind, Result};

pub use confluence_audit_formats::Format;

pub use self::collect::{Collect, MOST_JOBS, Start};
pub use self::default_file::default_config_file;
pub use self::site::{Address, AuthConfig, Secret, SiteConfig};
pub use self::state::State;
pub use crate::output::{FileConfig, OutputConfig, StdoutConfig};
pub use crate::value::{ParseWhenError, When, parse_duration, parse_size, show_size};

/// Everything that the configuration file can say.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What is kept between runs.
    pub state: State,
    /// How sites are read.
    pub collect: Collect,
    /// The sites. There may be none: one can be named by flags alone.
    pub sites: Vec<SiteConfig>,
    /// The outputs. There may be none: then the program has a default.
    pub outputs: Vec<OutputConfig>,
}

impl Config {
    /// Reads the configuration file at `path`.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) when it cannot be read or holds mistakes; the message names
    /// file and line of the first, and the remedy all others.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::new(
                ErrorKind::Config,
                format!("the configuration {} cannot be read", path.display()),
                "Write one with `confluence-audit generate config`, or name another with --config.",
            )
            .with_source(error)
        })?;
        Self::from_toml(&text, &path.display().to_string())
    }

    /// Reads a configuration from text; `origin` names it in errors.
    ///
    /// ```
    /// use confluence_audit_collector::Config;
    ///
    /// let error = Config::from_toml("[collect]\nintervall = \"10m\"", "config.toml").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "config.toml line 2: unknown key `intervall` in [collect]; did you mean `interval`?"
    /// );
    /// ```
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) as [`load`](Self::load).
    pub fn from_toml(text: &str, origin: &str) -> Result<Self> {
        let file = File::new(text, origin);
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let at = error.span().map_or(0, |span| span.start);
            let remedy = "See https://toml.io for how TOML is written.";
            file.note(Mistake::new(at, error.message(), remedy));
        }
        // What cannot be understood as TOML would be taken for more mistakes than there are.
        if let Some(error) = file.error() {
            return Err(error);
        }
        let config = Table::read_file(&file, document.get_ref(), Self::read);
        file.error().map_or(Ok(config), Err)
    }

    /// The JSON Schema (2020-12) of the file, from the same declarations that read it.
    pub fn schema() -> serde_json::Value {
        let mut schema = describe(Self::read);
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
        schema
    }

    fn read(root: &mut Table<'_>) -> Self {
        let state = |table: &mut Table<'_>| Some(State::read(table));
        let state = root.table("state", "what is kept between runs", state);
        let collect = |table: &mut Table<'_>| Some(Collect::read(table));
        let collect = root.table("collect", "how sites are read", collect);
        Self {
            state: state.unwrap_or_default(),
            collect: collect.unwrap_or_default(),
            sites: SiteConfig::read_all(root),
            outputs: OutputConfig::read_all(root),
        }
    }

    /// What is allowed and yet hardly meant.
    pub fn warnings(&self) -> Vec<String> {
        let mixed = |output: &&OutputConfig| {
            self.sites.len() > 1
                && output.format == Format::Raw
                && !output.is_per_site()
                && !output.kind.info().names_sites
        };
        let warning = |output: &OutputConfig| {
            let remedy = match output.kind.path() {
                Some(_) => "put {site} into the path, or choose another format",
                None => "choose another format",
            };
            format!(
                "{} gets the raw records of {} sites, and a raw record does not say which site it \
                 is from; {remedy}",
                output.kind.display_name(),
                self.sites.len()
            )
        };
        self.outputs.iter().filter(mixed).map(warning).collect()
    }
}
