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

use crate::generation::Outlets;
use crate::settings::Settings;
use crate::watch::{ConsentNotes, Watch};

/// What a pass works with.
pub(crate) struct Pass {
    pub(crate) name: Arc<str>,
    pub(crate) config: Arc<SiteConfig>,
    /// As the last pass left it.
    pub(crate) site: Option<Site>,
    pub(crate) http: Http,
    pub(crate) pace: Arc<Pace>,
    pub(crate) outlets: Outlets,
    pub(crate) collecting: PassOptions,
    pub(crate) settings: Arc<Settings>,
    pub(crate) watch: Watch,
}

/// How a pass ended.
pub(crate) struct Ended {
    /// For the next one.
    pub(crate) site: Option<Site>,
    pub(crate) result: Result<PassSummary, Failure>,
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
            closed_until: self.pace.seen().closed_until,
            // What was mended is read again: a secret in its file, an id at its address.
            site: self.site.filter(|_| !refused),
            result,
        }
    }

    async fn read(&mut self) -> Result<PassSummary, Failure> {
        let site = match self.site.take() {
            Some(site) => site,
            None => self.connect().await?,
        };
        let spool = &self.outlets.spool;
        self.seed(&site).await?;
        let progress =
            |found: &PassSummary| self.watch.note(&self.name, |notes| notes.progress(found));
        let board = &self.outlets.board;
        let done = read(
            &site,
            spool,
            board,
            &self.collecting,
            &SystemRuntime,
            progress,
        )
        .await;
        self.look_at_consent().await;
        self.site = Some(site);
        Ok(done?)
    }

    /// Reads the site's secrets and finds its id, which the outputs then know.
    async fn connect(&self) -> Result<Site, Failure> {
        let dir = self.settings.credentials_dir.clone();
        let sites = Sites::new(self.http.clone(), dir).with_spool(self.outlets.spool.clone());
        let site = sites.connect(&self.config).await;
        let site = site.map_err(Failure::of_site)?;
        self.outlets.board.site_found(site.id.clone(), &self.config);
        Ok(site)
    }

    /// Counts what an earlier process committed of the last day, an hour at a time.
    async fn seed(&self, site: &Site) -> Result<(), Failure> {
        let is_seeded = {
            let known = self.watch.known();
            known.sites.get(&self.name).is_none_or(|it| it.is_seeded)
        };
        if is_seeded {
            return Ok(());
        }
        let (spool, now) = (&self.outlets.spool, SystemRuntime.now());
        let hours = HourlyCounts::committed(spool, &site.id, now).await?;
        self.watch.note(&self.name, |notes| notes.seed(&hours));
        Ok(())
    }

    /// Notes how long the consent lasts, where there is one. What is wrong with its file is said
    /// by the pass that needs it.
    async fn look_at_consent(&self) {
        let AuthConfig::Oauth { token_file } = &self.config.auth else {
            return;
        };
        let file = TokenFile::new(token_file);
        let kept = tokio::task::spawn_blocking(move || file.look()).await;
        if let Ok(Ok(kept)) = kept {
            let consent = ConsentNotes::of(&kept);
            self.watch
                .note(&self.name, |notes| notes.consent = Some(consent));
        }
    }
}
