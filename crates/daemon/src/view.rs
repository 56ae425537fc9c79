//! Everything that is shown, at one instant: for the status page and for the metrics alike.

use std::time::Duration;

use confluence_audit_collector::Result;
use confluence_audit_collector::metrics::{Figures, OutputFigures, SiteFigures};
use confluence_audit_collector::schedule::Health;
use confluence_audit_collector::spool::{Depth, Spool as _};
use confluence_audit_core::{Runtime as _, SystemRuntime, Timestamp};

use crate::generation::Outlets;
use crate::watch::{Known, SiteNotes, Trouble, Watch};

/// One instant of the daemon.
pub(crate) struct View {
    pub(crate) now: Timestamp,
    pub(crate) began_at: Timestamp,
    pub(crate) refused: Option<Trouble>,
    pub(crate) sites: Vec<SiteView>,
    pub(crate) outputs: Vec<OutputView>,
    pub(crate) spool: Option<SpoolView>,
}

/// One site.
pub(crate) struct SiteView {
    pub(crate) name: String,
    /// Until the next pass begins.
    pub(crate) next: Option<Duration>,
    pub(crate) notes: SiteNotes,
}

/// One output.
pub(crate) struct OutputView {
    pub(crate) shown: String,
    pub(crate) figures: OutputFigures,
    pub(crate) trouble: Option<(String, String)>,
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
        let sites = sites.into_iter().map(|(name, notes)| SiteView {
            name: name.to_string(),
            next: notes
                .standing
                .and_then(|standing| standing.due)
                .map(|due| due.saturating_sub(elapsed)),
            notes,
        });
        let (outputs, spool) = match &known.outlets {
            Some(outlets) => {
                let (outputs, spool) = look(&known, outlets, now).await?;
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
        Figures {
            version: env!("CARGO_PKG_VERSION"),
            now: self.now,
            sites: self.sites.iter().map(SiteView::figures).collect(),
            outputs: self.outputs.iter().map(|it| it.figures.clone()).collect(),
            spool: self.spool.as_ref().map(|spool| spool.depth),
        }
    }
}

async fn look(
    known: &Known,
    outlets: &Outlets,
    now: Timestamp,
) -> Result<(Vec<OutputView>, SpoolView)> {
    let standings = outlets.board.outputs();
    // To count what waits can take long; where nothing does, it need not be done.
    let depth = if standings.iter().any(|output| output.is_behind) {
        outlets.spool.depth().await?
    } else {
        Depth::default()
    };
    let mut outputs = Vec::with_capacity(standings.len());
    for standing in standings {
        let waiting = if standing.is_behind && depth.records > 0 {
            outlets.spool.waiting(&standing.name, None).await?
        } else {
            Depth::default()
        };
        let since = standing.behind_since.filter(|_| waiting.records > 0);
        let name = standing.name.as_str();
        let tally = known.tally(&standing);
        outputs.push(OutputView {
            shown: standing.display_name.clone(),
            figures: OutputFigures {
                name: name.to_owned(),
                waiting,
                oldest: since.map(|since| now.since(since)),
                records: tally.delivered,
                failures: tally.failures,
                dead_letters: tally.dead,
                unfit: tally.unfit,
            },
            trouble: standing.failure.map(|it| (it.message, it.remedy)),
        });
    }
    let spool = SpoolView {
        depth,
        limit: outlets.limit,
        is_full: outlets.is_full(),
    };
    Ok((outputs, spool))
}

impl SiteView {
    pub(crate) fn health(&self) -> Health {
        self.notes.health()
    }

    pub(crate) fn interval(&self) -> Duration {
        self.notes
            .standing
            .map_or(Duration::ZERO, |standing| standing.interval)
    }

    fn figures(&self) -> SiteFigures {
        let (notes, counted) = (&self.notes, self.notes.counted());
        SiteFigures {
            name: self.name.clone(),
            interval: self.interval(),
            last_success: notes.last_success,
            watermark: notes.read_until(),
            records: counted.records,
            duplicates: counted.duplicates,
            late: counted.late,
            requests: notes.requests(),
            rate_limited: notes.rate_limited(),
            credential_expiry: notes.consent.as_ref().map(|consent| consent.ends),
            quarantined: self.health().is_quarantined(),
        }
    }
}
