//! One generation of the daemon's configuration: its sites, its outputs, and the task that
//! delivers. After a reload there is another one, over the same spool.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use confluence_audit_collector::config::{Address, SiteConfig};
use confluence_audit_collector::delivery::{Delivery, DeliveryRetry, Route};
use confluence_audit_collector::schedule::{Bucket, Pace, account};
use confluence_audit_collector::site::Site;
use confluence_audit_collector::spool::{Spool as _, SqliteSpool};
use confluence_audit_collector::{Error, ErrorKind, Result, SiteId};
use confluence_audit_core::{Http, SystemRuntime};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::outputs::Outputs;
use crate::settings::Settings;
use crate::watch::Watch;

/// So long the outputs may take for the batch in hand when they are told to stop.
const LAST_BATCH: Duration = Duration::from_secs(6);

/// How many seconds' worth of requests may be made at once after a quiet time.
const BURST: f64 = 2.0;

/// One reading of the configuration, at work.
pub(crate) struct Generation {
    pub(crate) settings: Arc<Settings>,
    pub(crate) outputs: Outputs,
    slots: HashMap<Arc<str>, SiteSlot>,
    http: Http,
    /// One for each account or app.
    shared: HashMap<String, Arc<Mutex<Bucket>>>,
    delivery: JoinHandle<Result<()>>,
}

/// What a site's passes hand on to each other.
pub(crate) struct SiteSlot {
    pub(crate) config: Arc<SiteConfig>,
    /// `None` until it is connected, and again after its credentials were refused.
    pub(crate) site: Option<Site>,
    /// `None` until its first pass.
    pub(crate) gate: Option<(Arc<Pace>, Http)>,
}

impl Generation {
    /// Makes the outputs ready and begins to deliver.
    pub(crate) async fn begin(
        settings: Settings,
        spool: SqliteSpool,
        watch: &Watch,
    ) -> Result<Self> {
        let context = settings.output_context();
        let config = &settings.config;
        let routes = Route::of(&config.outputs, &config.sites, &context)?;
        let mut delivery = Delivery::prepare(routes, &spool, watch.counters()).await?;
        let progress = delivery.progress();
        let mut slots = HashMap::new();
        for site in &config.sites {
            let name: Arc<str> = site.name.as_str().into();
            let id = match &site.address {
                Address::CloudId(id) => Some(SiteId::new(id.as_str())),
                Address::Url(url) => spool.site_at(&url.to_string()).await?,
            };
            if let Some(id) = id {
                let state = spool.site(&id).await?;
                // Every pass ends with the shortest step of reading again at least.
                let last_pass = state.rereads.iter().map(|(_, at)| *at).max();
                watch.note(&name, |status| status.recall(state.watermark, last_pass));
                progress.site_found(id, site);
            }
            let slot = SiteSlot {
                config: Arc::new(site.clone()),
                site: None,
                gate: None,
            };
            slots.insert(name, slot);
        }
        let outputs = Outputs {
            spool: spool.clone(),
            progress,
            limit: config.state.spool_limit,
        };
        let delivering = async move {
            let retry = DeliveryRetry::DAEMON;
            delivery.run(&spool, retry, &SystemRuntime).await
        };
        Ok(Self {
            http: settings.http(),
            settings: Arc::new(settings),
            outputs,
            slots,
            shared: HashMap::new(),
            delivery: tokio::spawn(delivering),
        })
    }

    /// What the passes of a site hand on, with the gate before its requests.
    pub(crate) fn slot(&mut self, name: &str, watch: &Watch) -> Option<&mut SiteSlot> {
        let slot = self.slots.get_mut(name)?;
        if slot.gate.is_none() {
            let collect = &self.settings.config.collect;
            let bucket = |rate: u32| Bucket::new(rate.into(), f64::from(rate) * BURST);
            let shared = self
                .shared
                .entry(account(&slot.config))
                .or_insert_with(|| Arc::new(Mutex::new(bucket(collect.account_rate))));
            let own = bucket(collect.site_rate);
            let counters = watch.counters().site(name);
            let pace = Pace::new(watch.began(), own, Arc::clone(shared), counters);
            let pace = Arc::new(pace);
            let http = self.http.behind(Arc::clone(&pace) as _);
            slot.gate = Some((pace, http));
        }
        Some(slot)
    }

    /// Keeps a site for its next pass, or forgets it.
    pub(crate) fn keep(&mut self, name: &str, site: Option<Site>) {
        if let Some(slot) = self.slots.get_mut(name) {
            slot.site = site;
        }
    }

    /// Returns when the delivery ends by itself, which only a failure can bring about.
    pub(crate) async fn broken(&mut self) -> Error {
        match (&mut self.delivery).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) => bug("the delivery ended by itself"),
            Err(error) => bug("the delivery panicked").with_source(error),
        }
    }

    /// Lets the outputs finish the batch in hand, and no more.
    ///
    /// # Errors
    /// What ended the delivery before.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.outputs.progress.stop();
        match timeout(LAST_BATCH, &mut self.delivery).await {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => Err(bug("the delivery panicked").with_source(error)),
            Err(_) => {
                tracing::warn!(
                    "an output takes long for the batch in hand: it is left to the next run, which \
                     finds out what arrived"
                );
                self.delivery.abort();
                Ok(())
            }
        }
    }
}

fn bug(message: &'static str) -> Error {
    Error::new(
        ErrorKind::Internal,
        message,
        "This is a bug of confluence-audit. Nothing was confirmed, so nothing is lost; please \
         report it with the messages that came before it.",
    )
}
