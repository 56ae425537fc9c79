//! What a kind of output is to everybody else: its configuration, which builds the output.

use std::any::Any;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use confluence_audit_formats::Format;

use super::{BatchLimits, Output, OutputName};
use crate::Result;
use crate::table::Table;

/// What outputs need to know of where the program runs.
#[derive(Clone, Debug)]
pub struct OutputContext {
    /// Where what is kept between runs is.
    pub state_dir: PathBuf,
    /// Where systemd puts credentials.
    pub credentials_dir: Option<PathBuf>,
}

/// Files that an output needs besides the one that it may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputFiles<'a> {
    /// Secrets, which can be credentials of a unit by a bare name.
    pub secrets: Vec<&'a Path>,
    /// What is read.
    pub read: Vec<&'a Path>,
    /// What is written.
    pub written: Vec<&'a Path>,
}

/// What is the same for all outputs of a kind.
#[derive(Clone, Copy, Debug)]
pub struct KindInfo {
    /// What a configuration calls the kind.
    pub name: &'static str,
    /// The format that its users would expect.
    pub format: Format,
    /// How much it is usually given at a time.
    pub batch: BatchLimits,
    /// Whether what it gets says which site a record is from, whatever the format.
    pub names_sites: bool,
}

/// What an output is built with, besides the configuration of its kind.
#[derive(Debug)]
pub struct OutputSetup<'a> {
    /// What the state calls it.
    pub name: OutputName,
    /// How a record is written.
    pub format: Format,
    /// How much it is given at a time.
    pub batch: BatchLimits,
    /// Where the program runs.
    pub context: &'a OutputContext,
}

/// The configuration of an output of one kind. It builds the output.
pub trait OutputKind: Any + fmt::Debug + Send + Sync {
    /// What is the same for all of its kind.
    fn info(&self) -> KindInfo;

    /// What people call the destination.
    fn display_name(&self) -> String;

    /// The name under which the state keeps the output, where the configuration gives none.
    ///
    /// # Errors
    /// [`OutputCreate`](crate::ErrorKind::OutputCreate) when a path cannot be made absolute.
    fn state_name(&self) -> Result<String> {
        Ok(format!("{}:{}", self.info().name, self.display_name()))
    }

    /// The files that whoever confines the program has to let it reach.
    fn files(&self) -> OutputFiles<'_> {
        OutputFiles::default()
    }

    /// The file that it appends to, where it is one.
    fn path(&self) -> Option<&Path> {
        None
    }

    /// The same for the site of this name, where each site has an output of its own.
    fn for_site(&self, _site: &str) -> Option<Arc<dyn OutputKind>> {
        None
    }

    /// Whether it can do something with lines of this format.
    fn takes(&self, _format: Format) -> bool {
        true
    }

    /// The output itself. Nothing is touched yet.
    fn build(&self, setup: OutputSetup<'_>) -> Box<dyn Output>;
}

/// A kind that a configuration can name.
pub(super) trait Declared: OutputKind + Sized {
    /// What is the same for all of its kind.
    const INFO: KindInfo;

    /// Reads the keys that this kind has; those of all kinds are read elsewhere.
    fn read(table: &mut Table<'_>) -> Option<Self>;
}
