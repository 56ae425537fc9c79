//! One pass over one site, in a task of its own: connect it where it is not, read what is new.

use std::sync::Arc;
use std::time::{Duration, Instant};

use confluence_audit_collector::config::{AuthConfig, SiteConfig};
use confluence_audit_collector::credentials::TokenFile;
use confluence_audit_collector::metrics::HourlyCounts;
use confluence_audit_collector::pass::{PassOptions, PassSummary, read};
use confluence_audit_collector::schedule::Pace;
use confluence_audit_collector::site::{Site, Sites};
use confluence_audit_collector::{Error, ErrorKind, Result};
use confluence_audit_core::{Http, Runtime as _, SystemRuntime};

use crate::outputs::Outputs;
use crate::settings::Settings;
use crate::watch::{ConsentStatus, Watch};

/// What a pass works with.
pub(crate) struct Pass {
    pub(crate) name: Arc<str>,
    pub(crate) config: Arc<SiteConfig>,
    /// As the last pass left it.
    pub(crate) site: Option<Site>,
    pub(crate) http: Http,
    pub(crate) pace: Arc<Pace>,
    pub(crate) outputs: Outputs,
    pub(crate) options: PassOptions,
    /// What it has brought so far.
    pub(crate) found: PassSummary,
    pub(crate) settings: Arc<Settings>,
    pub(crate) watch: Watch,
}

/// How a pass ended.
pub(crate) struct Ended {
    /// For the next one.
    pub(crate) site: Option<Site>,
    /// What the pass has brought, also where it failed.
    pub(crate) found: PassSummary,
    pub(crate) result: Result<(), Failure>,
    pub(crate) requests: u64,
    pub(crate) took: Duration,
    /// The service wants no request before.
    pub(crate) closed_until: Duration,
}

/// Why a pass failed.
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// It is not the site that failed but what all sites share: nothing can go on.
    pub(crate) is_ours: bool,
}

impl Failure {
    fn of_site(error: Error) -> Self {
        Self {
            error,
            is_ours: false,
        }
    }
}

/// The spool's failures are everybody's.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let is_ours = matches!(
            error.kind(),
            ErrorKind::Io | ErrorKind::State | ErrorKind::Internal
        );
        Self { error, is_ours }
    }
}

impl Pass {
    /// Does it.
    pub(crate) async fn run(mut self) -> Ended {
        let (began, requests) = (Instant::now(), self.http.stats().requests);
        let result = self.read().await;
        let refused = matches!(&result, Err(failure) if failure.error.needs_a_person());
        Ended {
            requests: self.http.stats().requests - requests,
            took: began.elapsed(),
            closed_until: self.pace.closed_until(),
            // What was mended is read again: a secret in its file, an id at its address.
            site: self.site.filter(|_| !refused),
            found: self.found,
            result,
        }
    }

    async fn read(&mut self) -> Result<(), Failure> {
        let site = match self.site.take() {
            Some(site) => site,
            None => self.connect().await?,
        };
        let spool = &self.outputs.spool;
        self.seed(&site).await?;
        let progress = &self.outputs.progress;
        let counters = self.watch.counters().site(&self.name);
        let on_window = |window: &PassSummary| {
            window.count(&counters);
            self.found.add(window);
            self.watch
                .note(&self.name, |status| status.add_window(window));
        };
        let options = &self.options;
        let done = read(&site, spool, progress, options, &SystemRuntime, on_window).await;
        self.look_at_consent().await;
        self.site = Some(site);
        done?;
        Ok(())
    }

    /// Reads the site's secrets and finds its id, which the outputs then know.
    async fn connect(&self) -> Result<Site, Failure> {
        let dir = self.settings.credentials_dir.clone();
        let sites = Sites::new(self.http.clone(), dir).with_spool(self.outputs.spool.clone());
        let site = sites.connect(&self.config).await;
        let site = site.map_err(Failure::of_site)?;
        self.outputs
            .progress
            .site_found(site.id.clone(), &self.config);
        Ok(site)
    }

    /// Counts what an earlier process committed of the last day, an hour at a time.
    async fn seed(&self, site: &Site) -> Result<(), Failure> {
        let is_seeded = {
            let known = self.watch.known();
            let status = known.sites.get(&self.name);
            status.is_none_or(|status| status.is_seeded)
        };
        if is_seeded {
            return Ok(());
        }
        let (spool, now) = (&self.outputs.spool, SystemRuntime.now());
        let hours = HourlyCounts::committed(spool, &site.id, now).await?;
        self.watch.note(&self.name, |status| status.seed(&hours));
        Ok(())
    }

    /// Notes how long the consent lasts, where there is one. What is wrong with its file is said
    /// by the pass that needs it.
    async fn look_at_consent(&self) {
        let AuthConfig::Oauth { token_file } = &self.config.auth else {
            return;
        };
        let file = TokenFile::new(token_file);
        let stored = tokio::task::spawn_blocking(move || file.look()).await;
        if let Ok(Ok(stored)) = stored {
            let consent = ConsentStatus::of(&stored);
            self.watch
                .note(&self.name, |status| status.consent = Some(consent));
        }
    }
}
