//! From the configured outputs to the routes of a run: where to, in which form, and whose records.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use confluence_audit_formats::Format;

use super::SiteNames;
use crate::config::SiteConfig;
use crate::output::{BatchLimits, Output, OutputConfig, OutputContext};
use crate::{Result, SiteId};

/// One output with what goes to it.
pub struct Route {
    /// Where to.
    pub output: Box<dyn Output>,
    /// What people call it.
    pub display_name: String,
    /// The file that it appends to, where it is one.
    pub file: Option<PathBuf>,
    /// In which form.
    pub format: Format,
    /// Whose records.
    pub source: Source,
    /// How much at a time.
    pub batch: BatchLimits,
}

/// Whose records an output gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Those of all sites.
    All,
    /// Those of the site that is configured by this name.
    Site(Arc<str>),
}

impl Source {
    /// Whether it gets the records of `site`, as far as `sites` are known. `None` while that cannot
    /// be told: its own site was not found yet, and this is none of the others. Such a record may
    /// be its own, from an earlier run: it waits, and so does what comes behind it.
    pub fn holds(&self, site: &SiteId, sites: &SiteNames) -> Option<bool> {
        let Self::Site(name) = self else {
            return Some(true);
        };
        match sites.id(name) {
            Some(id) => Some(id == site),
            None => sites.knows(site).then_some(false),
        }
    }
}

impl Route {
    /// Everything to `output`, as the site wrote it.
    pub fn new(output: Box<dyn Output>) -> Self {
        Self {
            display_name: output.name().to_string(),
            output,
            file: None,
            format: Format::Raw,
            source: Source::All,
            batch: BatchLimits::default(),
        }
    }

    /// All routes of a run: one for each output that is configured, or one for each and site.
    /// Nothing is touched yet.
    ///
    /// # Errors
    /// [`OutputCreate`](crate::ErrorKind::OutputCreate) when a path cannot be made absolute.
    pub fn of(
        outputs: &[OutputConfig],
        sites: &[SiteConfig],
        context: &OutputContext,
    ) -> Result<Vec<Self>> {
        let mut routes = Vec::new();
        for output in outputs {
            if !output.is_per_site() {
                routes.push(Self::configured(output, Source::All, context)?);
                continue;
            }
            for site in sites {
                let source = Source::Site(site.name.as_str().into());
                let output = output.for_site(&site.name);
                routes.push(Self::configured(&output, source, context)?);
            }
        }
        Ok(routes)
    }

    fn configured(config: &OutputConfig, source: Source, context: &OutputContext) -> Result<Self> {
        Ok(Self {
            output: config.build(config.state_name()?, context),
            display_name: config.kind.display_name(),
            file: config.kind.path().map(Path::to_owned),
            format: config.format,
            source,
            batch: config.batch,
        })
    }
}
