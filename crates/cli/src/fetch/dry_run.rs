//! `fetch --dry-run`: reads and counts what a run would deliver, and writes nothing.

use std::time::Instant;

use confluence_audit_collector::config::OutputConfig;
use confluence_audit_collector::delivery::Source;
use confluence_audit_collector::delivery::Target;
use confluence_audit_collector::pass::{PassOptions, PassSummary, count};
use confluence_audit_collector::site::connect_known;
use confluence_audit_collector::spool::{Spool, SqliteSpool};
use confluence_audit_collector::{Result, SiteId};
use confluence_audit_core::SystemRuntime;

use super::End;
use super::summary::Summary;
use crate::progress::Progress;
use crate::settings::Settings;

/// The lock is not asked for either: a run may go on beside it.
pub(super) async fn run(
    settings: &Settings,
    outputs: &[OutputConfig],
    collecting: &PassOptions,
    began: Instant,
) -> Result<End> {
    let spool = SqliteSpool::open_read_only(settings.state_dir())?;
    let spool = spool.as_ref().map(|spool| spool as &dyn Spool);
    let mut summary = Summary::new(true);
    let mut failures = Vec::new();
    let mut sites = Vec::new();
    let mut new: Vec<(SiteId, u64)> = Vec::new();
    for config in &settings.config.sites {
        let credentials = settings.credentials_dir.as_deref();
        let (id, site) = connect_known(&settings.http, config, spool, credentials).await;
        sites.push((config, id));
        let site = match site {
            Ok(site) => site,
            Err(error) => {
                summary.add_site(&config.name, &PassSummary::default(), Some(&error));
                failures.push(error);
                continue;
            }
        };
        let mut progress = Progress::new(&site.name);
        let mut found = PassSummary::default();
        let done = count(&site, spool, collecting, &SystemRuntime, |now| {
            found = *now;
            progress.show(now);
        })
        .await;
        drop(progress);
        new.push((site.id, found.new));
        summary.add_site(&config.name, &found, done.as_ref().err());
        failures.extend(done.err());
    }
    let surroundings = settings.surroundings();
    for target in Target::of(outputs, &sites)? {
        if let Err(error) = target.output(&surroundings).check().await {
            failures.push(error);
            continue;
        }
        let its_new = new
            .iter()
            .filter(|(site, _)| target.source.holds(site) == Some(true));
        let records = its_new.map(|(_, records)| records).sum::<u64>();
        let waiting = match (spool, &target.source) {
            (Some(spool), Source::All) => spool.waiting(&target.name, None).await?.records,
            (Some(spool), Source::Site(site)) => {
                spool.waiting(&target.name, Some(site)).await?.records
            }
            _ => 0,
        };
        summary.add_output(target.shown, waiting + records);
    }
    summary.add_requests([&settings.http], began.elapsed());
    Ok(End { summary, failures })
}
