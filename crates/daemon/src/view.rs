//! Everything that is shown, at one instant: for the status page and for the metrics alike.

use std::sync::Arc;
use std::time::Duration;

use confluence_audit_collector::Result;
use confluence_audit_collector::delivery::OutputFailure;
use confluence_audit_collector::metrics::{Figures, OutputFigures, SiteCounters, SiteFigures};
use confluence_audit_collector::schedule::Health;
use confluence_audit_collector::spool::{Depth, Spool as _};
use confluence_audit_core::{Runtime as _, SystemRuntime, Timestamp};

use crate::outputs::Outputs;
use crate::watch::{LastError, SiteStatus, Watch};

/// One instant of the daemon.
pub(crate) struct View {
    pub(crate) now: Timestamp,
    pub(crate) began_at: Timestamp,
    pub(crate) refused: Option<LastError>,
    pub(crate) sites: Vec<SiteView>,
    pub(crate) outputs: Vec<OutputView>,
    pub(crate) spool: Option<SpoolView>,
}

/// One site.
pub(crate) struct SiteView {
    pub(crate) name: String,
    pub(crate) counters: Arc<SiteCounters>,
    /// Until the next pass begins.
    pub(crate) next: Option<Duration>,
    pub(crate) status: SiteStatus,
}

/// One output.
pub(crate) struct OutputView {
    pub(crate) display_name: String,
    pub(crate) figures: OutputFigures,
    pub(crate) failure: Option<OutputFailure>,
}

/// What waits for outputs.
pub(crate) struct SpoolView {
    pub(crate) depth: Depth,
    pub(crate) limit: u64,
    pub(crate) is_full: bool,
}

impl View {
    /// The present.
    ///
    /// # Errors
    /// What the spool can fail with.
    pub(crate) async fn of(watch: &Watch) -> Result<Self> {
        let (now, elapsed) = (SystemRuntime.now(), watch.now());
        let mut known = watch.known().clone();
        let sites = std::mem::take(&mut known.sites);
        let sites = sites.into_iter().map(|(name, status)| SiteView {
            name: name.to_string(),
            counters: watch.counters().site(&name),
            next: status
                .schedule
                .and_then(|schedule| schedule.due)
                .map(|due| due.saturating_sub(elapsed)),
            status,
        });
        let (outputs, spool) = match &known.outputs {
            Some(outputs) => {
                let (outputs, spool) = look(outputs, now).await?;
                (outputs, Some(spool))
            }
            None => (Vec::new(), None),
        };
        Ok(Self {
            now,
            began_at: watch.began_at(),
            sites: sites.collect(),
            refused: known.refused,
            outputs,
            spool,
        })
    }

    /// The same as figures.
    pub(crate) fn figures(&self) -> Figures {
        let outputs = self.outputs.iter().map(|output| output.figures.clone());
        Figures {
            version: env!("CARGO_PKG_VERSION"),
            now: self.now,
            sites: self.sites.iter().map(SiteView::figures).collect(),
            outputs: outputs.collect(),
            spool: self.spool.as_ref().map(|spool| spool.depth),
        }
    }
}

async fn look(outputs: &Outputs, now: Timestamp) -> Result<(Vec<OutputView>, SpoolView)> {
    let statuses = outputs.progress.outputs();
    // To count what waits can take long; where nothing does, it need not be done.
    let depth = if statuses.iter().any(|output| output.is_behind) {
        outputs.spool.depth().await?
    } else {
        Depth::default()
    };
    let mut views = Vec::with_capacity(statuses.len());
    for status in statuses {
        let waiting = if status.is_behind && depth.records > 0 {
            outputs.spool.waiting(&status.name, None).await?
        } else {
            Depth::default()
        };
        let since = status.behind_since.filter(|_| waiting.records > 0);
        views.push(OutputView {
            display_name: status.display_name,
            figures: OutputFigures {
                name: status.name.to_string(),
                waiting,
                oldest: since.map(|since| now.since(since)),
                counters: status.counters,
            },
            failure: status.failure,
        });
    }
    let spool = SpoolView {
        depth,
        limit: outputs.limit,
        is_full: outputs.is_full(),
    };
    Ok((views, spool))
}

impl SiteView {
    pub(crate) fn health(&self) -> Health {
        self.status.health()
    }

    pub(crate) fn interval(&self) -> Duration {
        self.status
            .schedule
            .map_or(Duration::ZERO, |schedule| schedule.interval)
    }

    fn figures(&self) -> SiteFigures {
        let status = &self.status;
        SiteFigures {
            name: self.name.clone(),
            interval: self.interval(),
            last_success: status.last_success,
            watermark: status.read_until(),
            credential_expiry: status.consent.as_ref().map(|consent| consent.ends),
            quarantined: self.health().is_quarantined(),
            counters: Arc::clone(&self.counters),
        }
    }
}
