//! Where the records of a run go, and from which site each output gets them.

use std::path::{Path, PathBuf};

use crate::config::{FileConfig, OutputConfig, OutputKind, SiteConfig};
use crate::delivery::{Route, Source};
use crate::output::{
    DeadLetters, Elasticsearch, FileOptions, FileOutput, Http, Otlp, Output, OutputName, Protocol,
    Service, SplunkHec, StdoutOutput, Syslog,
};
use crate::{Error, ErrorKind, Result, SiteId};

/// One output of a run, and whose records it gets.
#[derive(Clone, Debug)]
pub struct Target {
    /// What the spool calls it.
    pub name: OutputName,
    /// What people call it.
    pub shown: String,
    /// Whose records it gets.
    pub source: Source,
    config: OutputConfig,
}

/// What outputs need to know of where the program runs.
#[derive(Clone, Debug)]
pub struct OutputContext {
    /// Where what is kept between runs is.
    pub state_dir: PathBuf,
    /// Where systemd puts credentials.
    pub credentials_dir: Option<PathBuf>,
}

impl Target {
    /// All outputs of a run: one for each that is configured, or one for each and site. `sites`
    /// are the configured ones, each with its id as far as that is known.
    ///
    /// # Errors
    /// [`OutputCreate`](ErrorKind::OutputCreate) when a path cannot be made absolute.
    pub fn of(
        outputs: &[OutputConfig],
        sites: &[(&SiteConfig, Option<SiteId>)],
    ) -> Result<Vec<Self>> {
        let known: Vec<SiteId> = sites.iter().filter_map(|(_, id)| id.clone()).collect();
        let mut targets = Vec::new();
        for output in outputs {
            if !output.kind.is_per_site() {
                targets.push(Self::new(output.clone(), None, Source::All)?);
                continue;
            }
            for (site, id) in sites {
                let source = match id {
                    Some(id) => Source::Site(id.clone()),
                    None => Source::Unknown(known.clone()),
                };
                let mut its = output.clone();
                if let OutputKind::File(file) = &mut its.kind {
                    file.path = file.path_for(&site.name).display().to_string();
                }
                targets.push(Self::new(its, Some(&site.name), source)?);
            }
        }
        Ok(targets)
    }

    fn new(config: OutputConfig, site: Option<&str>, source: Source) -> Result<Self> {
        let name = match (&config.name, site) {
            (Some(name), Some(site)) => format!("{name}:{site}"),
            (Some(name), None) => name.clone(),
            (None, _) => match &config.kind {
                OutputKind::File(file) => file_name(file)?,
                OutputKind::Stdout => "stdout".to_owned(),
                kind => format!("{}:{}", kind.as_str(), kind.shown()),
            },
        };
        Ok(Self {
            name: OutputName::new(name),
            shown: config.kind.shown(),
            source,
            config,
        })
    }

    /// The file that it appends to, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.config.kind {
            OutputKind::File(file) => Some(Path::new(&file.path)),
            _ => None,
        }
    }

    /// The output itself. Nothing is touched yet.
    pub fn output(&self, surroundings: &OutputContext) -> Box<dyn Output> {
        let name = self.name.clone();
        match &self.config.kind {
            OutputKind::File(file) => {
                let options = FileOptions {
                    header: self.config.format.header(),
                    ownership: file.ownership.clone(),
                    rotation: file.rotation.clone(),
                };
                Box::new(FileOutput::with(name, &file.path, options))
            }
            OutputKind::Elasticsearch(index) => {
                self.service(Elasticsearch::new(index, surroundings), surroundings)
            }
            OutputKind::Stdout => Box::new(StdoutOutput::new(name)),
            OutputKind::SplunkHec(hec) => {
                self.service(SplunkHec::new(&name, hec, surroundings), surroundings)
            }
            OutputKind::Http(http) => self.service(Http::new(http, surroundings), surroundings),
            OutputKind::Otlp(otlp) => self.service(Otlp::new(otlp, surroundings), surroundings),
            OutputKind::Syslog(receiver) => self.service(Syslog::new(receiver), surroundings),
        }
    }

    fn service<P: Protocol + 'static>(
        &self,
        protocol: P,
        surroundings: &OutputContext,
    ) -> Box<dyn Output> {
        let letters = match protocol.dead_letter() {
            Some(path) => DeadLetters::new(&self.name, path),
            None => DeadLetters::in_state_dir(&self.name, &surroundings.state_dir),
        };
        let most = self.config.batch.bytes;
        Box::new(Service::new(self.name.clone(), protocol, letters, most))
    }

    /// The output with what goes to it.
    pub fn route(&self, surroundings: &OutputContext) -> Route {
        Route {
            output: self.output(surroundings),
            format: self.config.format,
            source: self.source.clone(),
            batch: self.config.batch,
        }
    }
}

/// The name of a file output: its path, whatever the working directory is next time.
fn file_name(file: &FileConfig) -> Result<String> {
    let path = Path::new(&file.path);
    let absolute = std::path::absolute(path).map_err(|error| {
        let message = format!("the output's path {} cannot be used", path.display());
        Error::new(ErrorKind::OutputCreate, message, "Give an absolute path.").with_source(error)
    })?;
    Ok(format!("file:{}", absolute.display()))
}
