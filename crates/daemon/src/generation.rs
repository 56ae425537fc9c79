//! What belongs to one reading of the configuration: its sites, its outputs, and the task that
//! delivers. After a reload there is another one, over the same spool.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use confluence_audit_collector::config::{Address, SiteConfig};
use confluence_audit_collector::delivery::Target;
use confluence_audit_collector::delivery::{Delivery, DeliveryRetry, Progress, SiteNames, Source};
use confluence_audit_collector::output::OutputName;
use confluence_audit_collector::schedule::{Bucket, Pace, account};
use confluence_audit_collector::site::Site;
use confluence_audit_collector::spool::{Spool as _, SqliteSpool};
use confluence_audit_collector::{Error, ErrorKind, Result, SiteId};
use confluence_audit_core::{Http, SystemRuntime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::settings::Settings;
use crate::watch::Watch;

/// So long the outputs may take for the batch in hand when they are told to stop.
const LAST_BATCH: Duration = Duration::from_secs(6);

/// How many seconds' worth of requests may be made at once after a quiet time.
const BURST: f64 = 2.0;

/// One reading of the configuration, at work.
pub(crate) struct Generation {
    pub(crate) settings: Arc<Settings>,
    pub(crate) outlets: Outlets,
    pub(crate) found: Arc<Findings>,
    slots: HashMap<Arc<str>, Slot>,
    http: Http,
    /// One for each account or app.
    shared: HashMap<String, Arc<Mutex<Bucket>>>,
    delivery: JoinHandle<Result<()>>,
}

/// Where records go: what those who look need of it. Clones are the same.
#[derive(Clone)]
pub(crate) struct Outlets {
    pub(crate) spool: SqliteSpool,
    pub(crate) board: Progress,
    /// What people call each output.
    pub(crate) shown: Arc<HashMap<OutputName, String>>,
    /// How many bytes may wait.
    pub(crate) limit: u64,
}

impl Outlets {
    /// Whether nothing more is read until outputs take what waits.
    pub(crate) fn is_full(&self) -> bool {
        self.board
            .waiting()
            .is_some_and(|waiting| waiting >= self.limit)
    }
}

/// What a site's passes hand on to each other.
pub(crate) struct Slot {
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
        let mut ids = BTreeMap::new();
        let mut slots = HashMap::new();
        for config in &settings.config.sites {
            let name: Arc<str> = config.name.as_str().into();
            let id = match &config.address {
                Address::CloudId(id) => Some(SiteId::new(id.as_str())),
                Address::Url(url) => spool.site_at(&url.to_string()).await?,
            };
            if let Some(id) = id {
                let state = spool.site(&id).await?;
                // Every pass ends with the shortest step of reading again at least.
                let last_pass = state.rereads.iter().map(|(_, at)| *at).max();
                watch.note(&name, |notes| notes.recall(state.watermark, last_pass));
                ids.insert(Arc::clone(&name), id);
            }
            let slot = Slot {
                config: Arc::new(config.clone()),
                site: None,
                gate: None,
            };
            slots.insert(name, slot);
        }
        let found = Arc::new(Findings::new(settings.clone(), ids));
        let targets = found.targets()?;
        let surroundings = settings.surroundings();
        let routes = targets.iter().map(|target| target.route(&surroundings));
        let mut delivery = Delivery::prepare(routes.collect(), &spool).await?;
        delivery.set_site_names(found.labels());
        let shown = targets
            .into_iter()
            .map(|target| (target.name, target.display_name));
        let outlets = Outlets {
            spool: spool.clone(),
            board: delivery.progress(),
            shown: Arc::new(shown.collect()),
            limit: settings.config.state.spool_limit,
        };
        let delivery = tokio::spawn(deliver(delivery, spool, Arc::clone(&found)));
        Ok(Self {
            http: settings.http(),
            settings: Arc::new(settings),
            outlets,
            found,
            slots,
            shared: HashMap::new(),
            delivery,
        })
    }

    /// What the passes of a site hand on, with the gate before its requests.
    pub(crate) fn slot(&mut self, name: &str, watch: &Watch) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(name)?;
        if slot.gate.is_none() {
            let collect = &self.settings.config.collect;
            let bucket = |rate: u32| Bucket::new(rate.into(), f64::from(rate) * BURST);
            let shared = self
                .shared
                .entry(account(&slot.config))
                .or_insert_with(|| Arc::new(Mutex::new(bucket(collect.account_rate))));
            let own = bucket(collect.site_rate);
            let pace = Arc::new(Pace::new(watch.began(), own, Arc::clone(shared)));
            let http = self.http.behind(Arc::clone(&pace) as _);
            watch.note(name, |notes| {
                notes.set_gate(Arc::clone(&pace), http.clone());
            });
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
        self.found.end(&self.outlets.board);
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

/// Delivers until the end, with a short break whenever a site was found: which outputs are its own
/// and what lines call it must be known before it is read.
async fn deliver(mut delivery: Delivery, spool: SqliteSpool, found: Arc<Findings>) -> Result<()> {
    let board = delivery.progress();
    loop {
        delivery
            .run(&spool, DeliveryRetry::DAEMON, &SystemRuntime)
            .await?;
        if found.has_ended() {
            return Ok(());
        }
        let version = found.version();
        let targets = found.targets()?.into_iter();
        let sources: HashMap<OutputName, Source> =
            targets.map(|target| (target.name, target.source)).collect();
        delivery.set_site_names(found.labels());
        delivery.set_sources(|name| sources.get(name).cloned());
        delivery.reopen();
        found.applied.send_replace(version);
        // Told to stop after that was read and before it was open again, it would not have heard.
        if found.version() != version || found.has_ended() {
            board.stop();
        }
    }
}

/// Which sites are known by their ids, and what follows from it for the outputs.
pub(crate) struct Findings {
    settings: Settings,
    ids: Mutex<Ids>,
    /// The version that the delivery knows.
    applied: watch::Sender<u64>,
    ended: AtomicBool,
}

#[derive(Default)]
struct Ids {
    by_name: BTreeMap<Arc<str>, SiteId>,
    version: u64,
}

impl Findings {
    fn new(settings: Settings, by_name: BTreeMap<Arc<str>, SiteId>) -> Self {
        let ids = Ids {
            by_name,
            version: 0,
        };
        let (applied, _) = watch::channel(ids.version);
        Self {
            settings,
            ids: Mutex::new(ids),
            applied,
            ended: AtomicBool::new(false),
        }
    }

    fn ids(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn version(&self) -> u64 {
        self.ids().version
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn end(&self, board: &Progress) {
        self.ended.store(true, Ordering::SeqCst);
        board.stop();
    }

    /// Notes a site's id, and returns when the outputs know of it.
    pub(crate) async fn add(&self, name: &Arc<str>, id: &SiteId, board: &Progress) {
        let mine = {
            let mut ids = self.ids();
            if ids.by_name.get(name) == Some(id) {
                return;
            }
            ids.by_name.insert(Arc::clone(name), id.clone());
            ids.version += 1;
            ids.version
        };
        let mut applied = self.applied.subscribe();
        board.stop();
        // It fails when the sender is gone, which is here.
        drop(applied.wait_for(|version| *version >= mine).await);
    }

    fn targets(&self) -> Result<Vec<Target>> {
        let sites = &self.settings.config.sites;
        let ids = self.ids();
        let sites: Vec<_> = sites
            .iter()
            .map(|site| (site, ids.by_name.get(site.name.as_str()).cloned()))
            .collect();
        Target::of(&self.settings.config.outputs, &sites)
    }

    fn labels(&self) -> SiteNames {
        let mut labels = SiteNames::default();
        let ids = self.ids();
        for site in &self.settings.config.sites {
            if let Some(id) = ids.by_name.get(site.name.as_str()) {
                labels.add(id.clone(), site);
            }
        }
        labels
    }
}
