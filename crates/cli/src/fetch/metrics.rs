//! What a run tells monitors: the figures of each site and output, for a file that `node_exporter`
//! reads.

use std::sync::Arc;

use confluence_audit_collector::config::{AuthConfig, SiteConfig};
use confluence_audit_collector::credentials::TokenFile;
use confluence_audit_collector::delivery::OutputStatus;
pub(super) use confluence_audit_collector::metrics::write;
use confluence_audit_collector::metrics::{Figures, OutputFigures, Requests, SiteFigures};
use confluence_audit_collector::pass::PassSummary;
use confluence_audit_collector::spool::{SiteState, Spool};
use confluence_audit_collector::{Result, SiteId};
use confluence_audit_core::{Http, Runtime as _, SystemRuntime};

use crate::settings::Settings;

/// What went over the network for one site.
pub(super) struct Line {
    pub(super) http: Http,
    requests: Arc<Requests>,
}

impl Line {
    pub(super) fn new(settings: &Settings) -> Self {
        let requests = Arc::new(Requests::default());
        Self {
            http: settings.http.behind(Arc::clone(&requests) as _),
            requests,
        }
    }
}

/// One site at the end of a run.
pub(super) async fn of_site(
    settings: &Settings,
    site: &SiteConfig,
    id: Option<&SiteId>,
    line: &Line,
    found: &PassSummary,
    spool: &dyn Spool,
) -> Result<SiteFigures> {
    let state = match id {
        Some(id) => spool.site(id).await?,
        None => SiteState::default(),
    };
    let consent = match &site.auth {
        AuthConfig::Oauth { token_file } => TokenFile::new(token_file).look().ok(),
        _ => None,
    };
    Ok(SiteFigures {
        name: site.name.clone(),
        interval: site.interval.unwrap_or(settings.config.collect.interval),
        // A pass that reaches its end completes the shortest step of reading again at least.
        last_success: state.rereads.iter().map(|(_, at)| *at).max(),
        // A log in which there never was anything is read up to the beginning of time.
        watermark: state.watermark.filter(|at| at.as_millis() > 0),
        records: found.new,
        duplicates: found.duplicates,
        late: found.lateness,
        requests: line.requests.by_status(),
        rate_limited: line.http.stats().rate_limited,
        credential_expiry: consent.map(|kept| kept.ends_unused().min(kept.ends())),
        quarantined: false,
    })
}

/// All of it.
pub(super) async fn of_run(
    sites: Vec<SiteFigures>,
    outputs: &[OutputStatus],
    spool: &dyn Spool,
) -> Result<Figures> {
    let now = SystemRuntime.now();
    let mut figures = Vec::with_capacity(outputs.len());
    for output in outputs {
        let waiting = spool.waiting(&output.name, None).await?;
        let since = output.behind_since.filter(|_| waiting.records > 0);
        figures.push(OutputFigures {
            name: output.name.to_string(),
            waiting,
            oldest: since.map(|since| now.since(since)),
            records: output.delivered,
            failures: output.failures,
            dead_letters: output.dead,
            unfit: output.unfit,
        });
    }
    Ok(Figures {
        version: env!("CARGO_PKG_VERSION"),
        now,
        sites,
        outputs: figures,
        spool: Some(spool.depth().await?),
    })
}
