//! `fetch`: one pass over each site, under the lock.

mod dry_run;
mod summary;

use std::time::Instant;

use confluence_audit_collector::config::{OutputConfig, OutputKind, SiteConfig, Start};
use confluence_audit_collector::delivery::{Delivery, Labels};
use confluence_audit_collector::spool::{Spool, SqliteSpool};
use confluence_audit_collector::{
    Collecting, Error, ErrorKind, Found, Lock, Result, Site, SiteId, Target, collect,
    connect_known, forget_if_wrong, remember,
};
use confluence_audit_core::{Runtime, SystemRuntime};
use tokio::signal::unix::{SignalKind, signal};

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
    let collecting = Collecting {
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
        pass(&settings, &outputs, &collecting, began).await?
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
    collecting: &Collecting,
    began: Instant,
) -> Result<End> {
    let lock = Lock::acquire(settings.state_dir())?;
    let spool = SqliteSpool::open(lock.dir())?;
    let mut run = Run {
        settings,
        collecting,
        spool: &spool,
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
    let mut labels = Labels::default();
    for (site, id) in &ids {
        if let Some(id) = id {
            labels.add(id.clone(), site);
        }
    }
    delivery.set_labels(labels);
    // Where nothing can be written to, nothing is asked for.
    if !delivery.has_stopped() {
        // What an earlier run left goes out, whether or not there is a site to read.
        delivery.drain(&spool, &SystemRuntime).await?;
        for (config, _, site) in &sites {
            if let Some(site) = site
                && !run.collect(config, site, &mut delivery).await?
            {
                break;
            }
        }
    }
    let Run {
        mut summary,
        mut failures,
        ..
    } = run;
    failures.extend(delivery.take_failures());
    for (target, standing) in targets.into_iter().zip(delivery.board().outputs()) {
        summary.add_output(target.shown, standing.delivered);
    }
    summary.add_requests(&settings.http, began.elapsed());
    Ok(End { summary, failures })
}

/// A run under way.
struct Run<'a> {
    settings: &'a Settings,
    collecting: &'a Collecting,
    spool: &'a dyn Spool,
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
        for config in &settings.config.sites {
            let (id, site) = connect_known(&settings.http, config, Some(spool), credentials).await;
            if let Ok(site) = &site {
                remember(config, site, spool).await?;
            }
            let site = site.map_err(|error| self.fail(config, &Found::default(), error));
            sites.push((config, id, site.ok()));
        }
        Ok(sites)
    }

    fn fail(&mut self, site: &SiteConfig, found: &Found, error: Error) {
        self.summary.add_site(&site.name, found, Some(&error));
        self.failures.push(error);
    }

    /// Collects from one site; `false` when it is of no use to try another one.
    async fn collect(
        &mut self,
        config: &SiteConfig,
        site: &Site,
        delivery: &mut Delivery,
    ) -> Result<bool> {
        let mut progress = Progress::new(&site.name);
        let mut found = Found::default();
        let show = |now: &Found| {
            found = *now;
            progress.show(now);
        };
        let (spool, collecting) = (self.spool, self.collecting);
        let done = collect(site, spool, delivery, collecting, &SystemRuntime, show).await;
        drop(progress);
        match done {
            Ok(found) => {
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
