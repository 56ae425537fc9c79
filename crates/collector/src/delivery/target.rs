//! Where the records of a run go, and from which site each output gets them.

use std::path::Path;

use crate::config::SiteConfig;
use crate::delivery::{Route, Source};
use crate::output::{Output, OutputConfig, OutputContext, OutputName};
use crate::{Result, SiteId};

/// One output of a run, and whose records it gets.
#[derive(Clone, Debug)]
pub struct Target {
    /// What the spool calls it.
    pub name: OutputName,
    /// What people call it.
    pub display_name: String,
    /// Whose records it gets.
    pub source: Source,
    config: OutputConfig,
}

impl Target {
    /// All outputs of a run: one for each that is configured, or one for each and site. `sites`
    /// are the configured ones, each with its id as far as that is known.
    ///
    /// # Errors
    /// [`OutputCreate`](crate::ErrorKind::OutputCreate) when a path cannot be made absolute.
    pub fn of(
        outputs: &[OutputConfig],
        sites: &[(&SiteConfig, Option<SiteId>)],
    ) -> Result<Vec<Self>> {
        let known: Vec<SiteId> = sites.iter().filter_map(|(_, id)| id.clone()).collect();
        let mut targets = Vec::new();
        for output in outputs {
            if !output.is_per_site() {
                targets.push(Self::new(output.clone(), Source::All)?);
                continue;
            }
            for (site, id) in sites {
                let source = match id {
                    Some(id) => Source::Site(id.clone()),
                    None => Source::Unknown(known.clone()),
                };
                targets.push(Self::new(output.for_site(&site.name), source)?);
            }
        }
        Ok(targets)
    }

    fn new(config: OutputConfig, source: Source) -> Result<Self> {
        Ok(Self {
            name: config.state_name()?,
            display_name: config.kind.display_name(),
            source,
            config,
        })
    }

    /// The file that it appends to, where it is one.
    pub fn path(&self) -> Option<&Path> {
        self.config.kind.path()
    }

    /// The output itself. Nothing is touched yet.
    pub fn output(&self, context: &OutputContext) -> Box<dyn Output> {
        self.config.build(self.name.clone(), context)
    }

    /// The output with what goes to it.
    pub fn route(&self, context: &OutputContext) -> Route {
        Route {
            output: self.output(context),
            format: self.config.format,
            source: self.source.clone(),
            batch: self.config.batch,
        }
    }
}
