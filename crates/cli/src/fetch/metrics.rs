//! What a run tells monitors: the figures of each site and output, for a file that `node_exporter`
//! reads.

use std::sync::Arc;

use confluence_audit_collector::Result;
use confluence_audit_collector::config::AuthConfig;
use confluence_audit_collector::credentials::TokenFile;
pub(super) use confluence_audit_collector::metrics::write;
use confluence_audit_collector::metrics::{Figures, OutputFigures, SiteFigures};
use confluence_audit_collector::run::{Run, SiteRun};
use confluence_audit_collector::spool::{SiteState, Spool};
use confluence_audit_core::{Runtime as _, SystemRuntime};

/// One site at the end of a run.
async fn of_site(run: &Run<'_>, site: &SiteRun<'_>) -> Result<SiteFigures> {
    let (id, spool) = (site.id.as_ref(), run.spool());
    let state = match id {
        Some(id) => spool.site(id).await?,
        None => SiteState::default(),
    };
    let consent = match &site.config.auth {
        AuthConfig::Oauth { token_file } => TokenFile::new(token_file).look().ok(),
        _ => None,
    };
    let interval = run.setup().config.collect.interval;
    Ok(SiteFigures {
        name: site.config.name.clone(),
        interval: site.config.interval.unwrap_or(interval),
        // A pass that reaches its end completes the shortest step of reading again at least.
        last_success: state.rereads.iter().map(|(_, at)| *at).max(),
        // A log in which there never was anything is read up to the beginning of time.
        watermark: state.watermark.filter(|at| at.as_millis() > 0),
        credential_expiry: consent.map(|kept| kept.ends_unused().min(kept.ends())),
        quarantined: false,
        counters: Arc::clone(&site.counters),
    })
}

/// All of it.
pub(super) async fn of_run(run: &Run<'_>) -> Result<Figures> {
    let spool = run.spool();
    let mut sites = Vec::new();
    for site in run.sites() {
        sites.push(of_site(run, site).await?);
    }
    let outputs = run.outputs();
    let now = SystemRuntime.now();
    let mut figures = Vec::with_capacity(outputs.len());
    for output in outputs {
        let waiting = spool.waiting(&output.name, None).await?;
        let since = output.behind_since.filter(|_| waiting.records > 0);
        figures.push(OutputFigures {
            name: output.name.to_string(),
            waiting,
            oldest: since.map(|since| now.since(since)),
            counters: Arc::clone(&output.counters),
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
