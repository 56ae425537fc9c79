//! `fetch`: one pass over each site, under the lock.

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use confluence_audit_collector::config::OutputConfig;
use confluence_audit_collector::config::Start;
use confluence_audit_collector::delivery::{Delivery, Route};
use confluence_audit_collector::output::{FileOutput, OutputName};
use confluence_audit_collector::spool::SqliteSpool;
use confluence_audit_collector::{
    Collecting, Error, ErrorKind, Found, Lock, Result, Site, collect, connect,
};
use confluence_audit_core::{Runtime, SystemRuntime, printable};
use serde::Serialize;

use crate::args::{FetchArgs, LogFormat, SiteArgs, SummaryFormat};
use crate::progress::Progress;
use crate::report::{self, Failure};
use crate::settings::{self, Settings};

pub(crate) async fn run(
    site_args: &SiteArgs,
    args: FetchArgs,
    log_format: LogFormat,
) -> std::result::Result<(), Failure> {
    let began = Instant::now();
    let settings = Settings::read(site_args)?;
    let given = args.output.as_deref().map(settings::output).transpose()?;
    let given = given.map(|output| OutputConfig {
        format: args.format,
        ..output
    });
    let outputs = settings.outputs(given)?;

    let lock = Lock::acquire(settings.state_dir())?;
    let spool = SqliteSpool::open(lock.dir())?;
    let mut failures = Vec::new();
    let mut sites = Vec::new();
    for site in &settings.config.sites {
        match connect(&settings.http, site, settings.credentials_dir.as_deref()).await {
            Ok(connected) => sites.push(connected),
            Err(error) => failures.push(error),
        }
    }
    let mut outputs = Outputs::of(&outputs, &settings, &sites)?;
    let mut delivery = Delivery::prepare(std::mem::take(&mut outputs.routes), &spool)
        .await?
        .holding(outputs.unreachable);

    let runtime = SystemRuntime;
    let start = args.since.map_or(settings.config.collect.start, Start::At);
    let collecting = Collecting {
        start: match start {
            Start::Retained => None,
            Start::At(when) => Some(when.at(runtime.now())),
        },
        schedule: settings.config.collect.reread.clone(),
        jobs: args.jobs.unwrap_or(settings.config.collect.jobs),
    };
    let mut summary = Summary::default();
    // Where nothing can be written to, nothing is asked for.
    let read = if delivery.has_stopped() {
        &[]
    } else {
        sites.as_slice()
    };
    for site in read {
        let mut progress = Progress::new(&site.name);
        let mut found = Found::default();
        let show = |now: &Found| {
            found = *now;
            progress.show(now);
        };
        let done = collect(site, &spool, &mut delivery, &collecting, &runtime, show).await;
        drop(progress);
        summary.add(site, found, done.as_ref().err());
        let Err(error) = done else {
            continue;
        };
        let of_the_site = matches!(error.kind(), ErrorKind::Service(_));
        failures.push(error);
        if !of_the_site {
            // The spool's own: it would say the same of every site.
            break;
        }
    }
    failures.extend(delivery.take_failures());
    let stats = settings.http.stats();
    summary.requests = stats.requests;
    summary.retries = stats.retries;
    summary.rate_limited_ms = millis(stats.rate_limited);
    summary.elapsed_ms = millis(began.elapsed());
    summary.outputs = outputs
        .paths
        .into_iter()
        .map(|(name, path)| {
            let records = delivery.delivered().find(|(output, _)| **output == name);
            Delivered {
                output: path,
                records: records.map_or(0, |(_, records)| records),
            }
        })
        .collect();
    summary
        .print(args.summary, failures.is_empty())
        .map_err(Failure::stdout)?;
    finish(&failures, log_format)
}

/// Says every failure; the first one gives the exit code.
fn finish(failures: &[Error], format: LogFormat) -> std::result::Result<(), Failure> {
    for failure in failures {
        report::say(failure, format);
    }
    match failures.first() {
        Some(first) => Err(Failure::Said(first.exit_code())),
        None => Ok(()),
    }
}

/// The outputs of a run.
struct Outputs {
    routes: Vec<Route>,
    /// Of sites that could not be asked: nothing is delivered to them, and nothing forgotten.
    unreachable: Vec<OutputName>,
    paths: Vec<(OutputName, String)>,
}

impl Outputs {
    fn of(configured: &[OutputConfig], settings: &Settings, sites: &[Site]) -> Result<Self> {
        let mut outputs = Self {
            routes: Vec::new(),
            unreachable: Vec::new(),
            paths: Vec::new(),
        };
        for output in configured {
            if !output.is_per_site() {
                outputs.add(output, Path::new(&output.path), None)?;
                continue;
            }
            for site in &settings.config.sites {
                let path = output.path_for(&site.name);
                match sites.iter().find(|connected| connected.name == site.name) {
                    Some(site) => outputs.add(output, &path, Some(site))?,
                    None => outputs.unreachable.push(name(&path)?),
                }
            }
        }
        Ok(outputs)
    }

    fn add(&mut self, output: &OutputConfig, path: &Path, site: Option<&Site>) -> Result<()> {
        let name = name(path)?;
        self.paths.push((name.clone(), path.display().to_string()));
        self.routes.push(Route {
            output: Box::new(FileOutput::new(name, path)),
            format: output.format,
            site: site.map(|site| site.id.clone()),
        });
        Ok(())
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

/// What a run did.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// Records that were new, all sites together.
    records: u64,
    /// Requests made, retries included.
    requests: u64,
    retries: u64,
    /// Records that were read again and had been delivered.
    duplicates: u64,
    /// New records older than what had been read: they arrived late.
    late: u64,
    rate_limited_ms: u64,
    elapsed_ms: u64,
    /// The first output.
    output: String,
    outputs: Vec<Delivered>,
    sites: Vec<SiteSummary>,
}

#[derive(Debug, Serialize)]
struct Delivered {
    output: String,
    /// Records that went into it in this run.
    records: u64,
}

#[derive(Debug, Serialize)]
struct SiteSummary {
    name: String,
    records: u64,
    duplicates: u64,
    late: u64,
    /// Everything up to it has been read.
    watermark: Option<String>,
    error: Option<String>,
}

impl Summary {
    fn add(&mut self, site: &Site, found: Found, error: Option<&Error>) {
        self.records += found.new;
        self.duplicates += found.duplicates;
        self.late += found.late;
        self.sites.push(SiteSummary {
            name: site.name.clone(),
            records: found.new,
            duplicates: found.duplicates,
            late: found.late,
            watermark: found.watermark.map(|at| at.to_string()),
            error: error.map(|error| report::chain(error)),
        });
    }

    fn print(&mut self, format: SummaryFormat, complete: bool) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        self.output = self
            .outputs
            .first()
            .map(|first| first.output.clone())
            .unwrap_or_default();
        match format {
            SummaryFormat::Json => {
                serde_json::to_writer(&mut out, &self)?;
                writeln!(out)
            }
            // After a failure the line would say that all is well.
            SummaryFormat::Text => self
                .outputs
                .iter()
                .filter(|output| complete || output.records > 0)
                .try_for_each(|Delivered { output, records }| {
                    writeln!(
                        out,
                        "Flattened {records} records into {}",
                        printable(output, 4096)
                    )
                }),
        }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
