//! A run: one pass over each configured site, under the lock, delivered to all outputs.

mod dry_run;
mod summary;

use std::sync::Arc;
use std::time::Instant;

use confluence_audit_core::Http;

use crate::config::{OutputConfig, SiteConfig};
use crate::delivery::{Delivery, OutputStatus, Route};
use crate::metrics::{Counters, SiteCounters};
use crate::pass::{LastPass, PassOptions, PassSummary, collect};
use crate::site::Site;
use crate::spool::SqliteSpool;
use crate::state::Lock;
use crate::{Error, ErrorKind, Result, Setup, SiteId};

pub use self::dry_run::dry_run;
pub use self::summary::{Delivered, RunSummary, SiteSummary};

/// A run that has ended. The state directory is locked until it is dropped.
pub struct Run<'a> {
    setup: &'a Setup,
    spool: SqliteSpool,
    sites: Vec<SiteRun<'a>>,
    outputs: Vec<OutputStatus>,
    summary: RunSummary,
    failures: Vec<Error>,
    output_failures: Vec<Error>,
    _lock: Lock,
}

/// One site of a run.
pub struct SiteRun<'a> {
    /// The site as it is configured.
    pub config: &'a SiteConfig,
    /// Its id, as far as it is known.
    pub id: Option<SiteId>,
    /// What was found there.
    pub found: PassSummary,
    /// What went over the network for it.
    pub http: Http,
    /// What is counted of it.
    pub counters: Arc<SiteCounters>,
    /// `None` where it cannot be read.
    site: Option<Site>,
}

/// Reads what is new at each site and delivers it to `outputs`. `watch` is called for each site and
/// gives what is called as its pass goes on.
///
/// # Errors
/// What ends a run before it has begun: the lock, the spool, an output's name. What fails later is
/// told at its [end](Run::end).
pub async fn run<'a, W: FnMut(&PassSummary)>(
    setup: &'a Setup,
    outputs: &[OutputConfig],
    options: &PassOptions,
    watch: impl FnMut(&str) -> W,
) -> Result<Run<'a>> {
    let began = Instant::now();
    let lock = Lock::acquire(&setup.state_dir)?;
    let spool = SqliteSpool::open(lock.dir())?;
    let counters = Counters::default();
    let mut run = Run {
        setup,
        spool,
        sites: setup
            .config
            .sites
            .iter()
            .map(|site| SiteRun::new(setup, site, counters.site(&site.name)))
            .collect(),
        outputs: Vec::new(),
        summary: RunSummary::default(),
        failures: Vec::new(),
        output_failures: Vec::new(),
        _lock: lock,
    };
    run.connect().await;
    let context = setup.output_context();
    let routes = Route::of(outputs, &setup.config.sites, &context)?;
    let mut delivery = Delivery::prepare(routes, &run.spool, &counters).await?;
    for site in &run.sites {
        if let Some(id) = &site.id {
            delivery.progress().site_found(id.clone(), site.config);
        }
    }
    // Where nothing can be written to, nothing is asked for.
    if !delivery.has_stopped() {
        // What an earlier run left goes out, whether or not there is a site to read.
        delivery.drain(&run.spool, setup.runtime()).await?;
        run.collect_all(&mut delivery, options, watch).await;
    }
    run.outputs = delivery.progress().outputs();
    run.output_failures = delivery.take_failures();
    for output in &run.outputs {
        let name = output.display_name.clone();
        run.summary.add_output(name, output.counters.records.get());
    }
    run.summary
        .add_requests(run.sites.iter().map(|site| &site.http), began.elapsed());
    Ok(run)
}

impl<'a> SiteRun<'a> {
    fn new(setup: &Setup, config: &'a SiteConfig, counters: Arc<SiteCounters>) -> Self {
        Self {
            config,
            id: None,
            found: PassSummary::default(),
            http: setup.sites.http().behind(Arc::clone(&counters) as _),
            counters,
            site: None,
        }
    }
}

impl<'a> Run<'a> {
    /// The settings that it ran with.
    pub fn setup(&self) -> &'a Setup {
        self.setup
    }

    /// The spool, as the run left it.
    pub fn spool(&self) -> &SqliteSpool {
        &self.spool
    }

    /// The configured sites.
    pub fn sites(&self) -> &[SiteRun<'a>] {
        &self.sites
    }

    /// The outputs.
    pub fn outputs(&self) -> &[OutputStatus] {
        &self.outputs
    }

    /// Adds what failed of that which is done with a run.
    pub fn add_failure(&mut self, error: Error) {
        self.failures.push(error);
    }

    /// What it did, and what failed without ending it: sites, what was added, outputs. The first
    /// failure gives the exit code.
    pub fn end(self) -> (RunSummary, Vec<Error>) {
        let mut failures = self.failures;
        failures.extend(self.output_failures);
        (self.summary, failures)
    }

    /// Finds the id of each site, as far as it is known or can be found.
    async fn connect(&mut self) {
        let sites = self.setup.sites.clone().with_spool(self.spool.clone());
        for index in 0..self.sites.len() {
            let site = &mut self.sites[index];
            let connected = sites
                .with_http(site.http.clone())
                .connect(site.config)
                .await;
            match connected {
                Ok(connected) => {
                    site.id = Some(connected.id.clone());
                    site.site = Some(connected);
                }
                Err(error) => {
                    // The spool's failure was the site's already.
                    site.id = sites.known_id(site.config).await.unwrap_or(None);
                    self.fail(index, error);
                }
            }
        }
    }

    async fn collect_all<W: FnMut(&PassSummary)>(
        &mut self,
        delivery: &mut Delivery,
        options: &PassOptions,
        mut watch: impl FnMut(&str) -> W,
    ) {
        for index in 0..self.sites.len() {
            let Some(site) = self.sites[index].site.take() else {
                continue;
            };
            let mut on_progress = watch(&site.name);
            let mut found = PassSummary::default();
            let counters = Arc::clone(&self.sites[index].counters);
            let note = |window: &PassSummary| {
                window.count(&counters);
                found.add(window);
                on_progress(&found);
            };
            let runtime = self.setup.runtime();
            let done = collect(&site, &self.spool, delivery, options, runtime, note).await;
            drop(on_progress);
            self.sites[index].found = *done.as_ref().unwrap_or(&found);
            match done {
                Ok(found) => {
                    self.note_last_pass(index, None);
                    self.summary.add_site(&site.name, &found, None);
                }
                Err(error) => {
                    let is_the_sites = matches!(error.kind(), ErrorKind::Service(_));
                    self.fail(index, error);
                    // What all sites share fails the next one too.
                    if !is_the_sites {
                        break;
                    }
                }
            }
        }
    }

    fn fail(&mut self, index: usize, error: Error) {
        self.note_last_pass(index, Some(&error));
        let site = &self.sites[index];
        self.summary
            .add_site(&site.config.name, &site.found, Some(&error));
        self.failures.push(error);
    }

    /// For `status`.
    fn note_last_pass(&self, index: usize, error: Option<&Error>) {
        let (dir, now) = (&self.setup.state_dir, self.setup.runtime().now());
        let site = &self.sites[index];
        LastPass::note(dir, &site.config.name, now, &site.found, error);
    }
}
