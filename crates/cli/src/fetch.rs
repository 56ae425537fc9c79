//! `fetch`: one pass over each site, under the lock.

mod dry_run;
mod metrics;
mod summary;

use std::path::Path;
use std::time::Instant;

use confluence_audit_collector::config::{OutputConfig, OutputKind, SiteConfig, Start};
use confluence_audit_collector::delivery::Target;
use confluence_audit_collector::delivery::{Delivery, OutputStatus, SiteNames};
use confluence_audit_collector::metrics::Figures;
use confluence_audit_collector::pass::{PassOptions, PassSummary, collect};
use confluence_audit_collector::site::{Site, connect_known, forget_if_wrong, remember};
use confluence_audit_collector::spool::{Spool, SqliteSpool};
use confluence_audit_collector::state::{LastPass, Lock};
use confluence_audit_collector::{Error, ErrorKind, Result, SiteId};
use confluence_audit_core::{Runtime, SystemRuntime};
use tokio::signal::unix::{SignalKind, signal};

use self::metrics::Line;
use self::summary::Summary;
use crate::args::{FetchArgs, LogFormat, SiteArgs};
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
    let start = args.since.map_or(settings.config.collect.start, Start::At);
    let collecting = PassOptions {
        start: match start {
            Start::Retained => None,
            Start::At(when) => Some(when.at(SystemRuntime.now())),
        },
        schedule: settings.config.collect.reread.clone(),
        jobs: args.jobs.unwrap_or(settings.config.collect.jobs),
        spool_limit: settings.config.state.spool_limit,
    };
    // Who rotates a file tells its writer so by this signal, which would end the run. Each batch
    // looks where the output's path leads now, so there is nothing else to do.
    let _hangups = signal(SignalKind::hangup()).map_err(Failure::internal)?;
    let End { summary, failures } = if args.dry_run {
        dry_run::run(&settings, &outputs, &collecting, began).await?
    } else {
        let file = args.metrics_file.as_deref();
        pass(&settings, &outputs, &collecting, began, file).await?
    };
    let complete = failures.is_empty();
    // Where records go, nothing else does.
    let is_taken = |output: &OutputConfig| matches!(output.kind, OutputKind::Stdout);
    if outputs.iter().any(is_taken) {
        // There is nowhere left to complain.
        let _ = summary.print(std::io::stderr(), args.summary, complete);
    } else {
        let printed = summary.print(std::io::stdout().lock(), args.summary, complete);
        printed.map_err(Failure::stdout)?;
    }
    for failure in &failures {
        report::say(failure, log_format);
    }
    match failures.first() {
        Some(first) => Err(Failure::Said(first.exit_code())),
        None => Ok(()),
    }
}

/// How a run ended: what it did, and what failed without ending it. The first failure gives the
/// exit code.
struct End {
    summary: Summary,
    failures: Vec<Error>,
}

async fn pass(
    settings: &Settings,
    outputs: &[OutputConfig],
    collecting: &PassOptions,
    began: Instant,
    metrics_file: Option<&Path>,
) -> Result<End> {
    let lock = Lock::acquire(settings.state_dir())?;
    let spool = SqliteSpool::open(lock.dir())?;
    let mut run = Run {
        settings,
        collecting,
        spool: &spool,
        lines: settings
            .config
            .sites
            .iter()
            .map(|_| Line::new(settings))
            .collect(),
        found: vec![PassSummary::default(); settings.config.sites.len()],
        summary: Summary::new(false),
        failures: Vec::new(),
    };
    let sites = run.find_sites().await?;
    let ids: Vec<_> = sites
        .iter()
        .map(|(site, id, _)| (*site, id.clone()))
        .collect();
    let targets = Target::of(outputs, &ids)?;
    let surroundings = settings.surroundings();
    let routes = targets.iter().map(|target| target.route(&surroundings));
    let mut delivery = Delivery::prepare(routes.collect(), &spool).await?;
    let mut labels = SiteNames::default();
    for (site, id) in &ids {
        if let Some(id) = id {
            labels.add(id.clone(), site);
        }
    }
    delivery.set_site_names(labels);
    // Where nothing can be written to, nothing is asked for.
    if !delivery.has_stopped() {
        // What an earlier run left goes out, whether or not there is a site to read.
        delivery.drain(&spool, &SystemRuntime).await?;
        for (index, (config, _, site)) in sites.iter().enumerate() {
            if let Some(site) = site
                && !run.collect(index, config, site, &mut delivery).await?
            {
                break;
            }
        }
    }
    let standings = delivery.progress().outputs();
    if let Some(file) = metrics_file {
        let ids = ids.iter().map(|(_, id)| id.as_ref());
        let figures = run.figures(ids, &standings).await?;
        run.failures.extend(metrics::write(&figures, file).err());
    }
    let Run {
        mut summary,
        mut failures,
        lines,
        ..
    } = run;
    failures.extend(delivery.take_failures());
    for (target, standing) in targets.into_iter().zip(standings) {
        summary.add_output(target.shown, standing.delivered);
    }
    summary.add_requests(lines.iter().map(|line| &line.http), began.elapsed());
    Ok(End { summary, failures })
}

/// A run under way.
struct Run<'a> {
    settings: &'a Settings,
    collecting: &'a PassOptions,
    spool: &'a dyn Spool,
    /// One for each configured site, and so is what was found there.
    lines: Vec<Line>,
    found: Vec<PassSummary>,
    summary: Summary,
    failures: Vec<Error>,
}

impl<'a> Run<'a> {
    /// The configured sites: the id of each that is known or can be found, and each that can be
    /// read.
    async fn find_sites(&mut self) -> Result<Vec<(&'a SiteConfig, Option<SiteId>, Option<Site>)>> {
        let (settings, spool) = (self.settings, self.spool);
        let credentials = settings.credentials_dir.as_deref();
        let mut sites = Vec::new();
        for (index, config) in settings.config.sites.iter().enumerate() {
            let http = self.lines[index].http.clone();
            let (id, site) = connect_known(&http, config, Some(spool), credentials).await;
            if let Ok(site) = &site {
                remember(config, site, spool).await?;
            }
            let site = site.map_err(|error| self.fail(config, &PassSummary::default(), error));
            sites.push((config, id, site.ok()));
        }
        Ok(sites)
    }

    async fn figures(
        &self,
        ids: impl Iterator<Item = Option<&SiteId>>,
        outputs: &[OutputStatus],
    ) -> Result<Figures> {
        let mut sites = Vec::new();
        let all = self.settings.config.sites.iter().zip(ids);
        for ((config, id), (line, found)) in all.zip(self.lines.iter().zip(&self.found)) {
            let site = metrics::of_site(self.settings, config, id, line, found, self.spool);
            sites.push(site.await?);
        }
        metrics::of_run(sites, outputs, self.spool).await
    }

    fn fail(&mut self, site: &SiteConfig, found: &PassSummary, error: Error) {
        self.note_last_pass(site, found, Some(&error));
        self.summary.add_site(&site.name, found, Some(&error));
        self.failures.push(error);
    }

    /// For `status`.
    fn note_last_pass(&self, site: &SiteConfig, found: &PassSummary, error: Option<&Error>) {
        let (dir, now) = (self.settings.state_dir(), SystemRuntime.now());
        LastPass::note(dir, &site.name, now, found, error);
    }

    /// Collects from one site; `false` when it is of no use to try another one.
    async fn collect(
        &mut self,
        index: usize,
        config: &SiteConfig,
        site: &Site,
        delivery: &mut Delivery,
    ) -> Result<bool> {
        let mut progress = Progress::new(&site.name);
        let mut found = PassSummary::default();
        let show = |now: &PassSummary| {
            found = *now;
            progress.show(now);
        };
        let (spool, collecting) = (self.spool, self.collecting);
        let done = collect(site, spool, delivery, collecting, &SystemRuntime, show).await;
        drop(progress);
        self.found[index] = *done.as_ref().unwrap_or(&found);
        match done {
            Ok(found) => {
                self.note_last_pass(config, &found, None);
                self.summary.add_site(&site.name, &found, None);
                Ok(true)
            }
            Err(error) => {
                forget_if_wrong(&error, config, spool).await?;
                let goes_on = matches!(error.kind(), ErrorKind::Service(_));
                self.fail(config, &found, error);
                Ok(goes_on)
            }
        }
    }
}
