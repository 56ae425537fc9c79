//! Where the records of a run go, and from which site each output gets them.

use std::path::{Path, PathBuf};

use confluence_audit_collector::config::{Format, OutputConfig, SiteConfig};
use confluence_audit_collector::delivery::{Route, Source};
use confluence_audit_collector::output::{FileOutput, OutputName};
use confluence_audit_collector::{Error, ErrorKind, Result, SiteId};

/// One file, and what goes into it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: OutputName,
    pub(crate) path: PathBuf,
    pub(crate) source: Source,
    format: Format,
}

impl Target {
    /// All files of a run: one for each output, or one for each output and site. `sites` are the
    /// configured ones, each with its id as far as that is known.
    pub(crate) fn of(
        outputs: &[OutputConfig],
        sites: &[(&SiteConfig, Option<SiteId>)],
    ) -> Result<Vec<Self>> {
        let known: Vec<SiteId> = sites.iter().filter_map(|(_, id)| id.clone()).collect();
        let mut targets = Vec::new();
        for output in outputs {
            if !output.is_per_site() {
                targets.push(Self::new(output, PathBuf::from(&output.path), Source::All)?);
                continue;
            }
            for (site, id) in sites {
                let source = match id {
                    Some(id) => Source::Site(id.clone()),
                    None => Source::Unknown(known.clone()),
                };
                targets.push(Self::new(output, output.path_for(&site.name), source)?);
            }
        }
        Ok(targets)
    }

    fn new(output: &OutputConfig, path: PathBuf, source: Source) -> Result<Self> {
        Ok(Self {
            name: name(&path)?,
            path,
            source,
            format: output.format,
        })
    }

    pub(crate) fn file(&self) -> FileOutput {
        FileOutput::new(self.name.clone(), &self.path)
    }

    pub(crate) fn route(&self) -> Route {
        Route {
            output: Box::new(self.file()),
            format: self.format,
            source: self.source.clone(),
        }
    }
}

/// The name of a file output: its path, whatever the working directory is next time.
fn name(path: &Path) -> Result<OutputName> {
    let absolute = std::path::absolute(path).map_err(|error| {
        let message = format!("the output's path {} cannot be used", path.display());
        Error::new(ErrorKind::OutputCreate, message, "Give an absolute path.").with_source(error)
    })?;
    Ok(OutputName::new(format!("file:{}", absolute.display())))
}
