//! A dry run: reads and counts what a run would deliver, and writes nothing.

use std::time::Instant;

use super::RunSummary;
use crate::config::OutputConfig;
use crate::delivery::{Route, SiteNames, Source};
use crate::pass::{PassOptions, PassSummary, count};
use crate::spool::{Spool, SqliteSpool};
use crate::{Error, Result, Setup, SiteId};

/// Counts what a [`run`](super::run) with the same settings would do. The lock is not asked for
/// either: a run may go on beside it.
///
/// # Errors
/// What would end a run before it has begun. All other failures are given beside the summary.
pub async fn dry_run<W: FnMut(&PassSummary)>(
    setup: &Setup,
    outputs: &[OutputConfig],
    options: &PassOptions,
    mut watch: impl FnMut(&str) -> W,
) -> Result<(RunSummary, Vec<Error>)> {
    let began = Instant::now();
    let spool = SqliteSpool::open_read_only(&setup.state_dir)?;
    let mut sites = setup.sites.clone();
    if let Some(spool) = &spool {
        sites = sites.with_spool(spool.clone());
    }
    let spool = spool.as_ref().map(|spool| spool as &dyn Spool);
    let mut summary = RunSummary {
        dry_run: true,
        ..RunSummary::default()
    };
    let mut failures = Vec::new();
    let mut names = SiteNames::default();
    let mut new: Vec<(SiteId, u64)> = Vec::new();
    for config in &setup.config.sites {
        let site = match sites.connect(config).await {
            Ok(site) => site,
            Err(error) => {
                if let Ok(Some(id)) = sites.known_id(config).await {
                    names.add(id, config);
                }
                summary.add_site(&config.name, &PassSummary::default(), Some(&error));
                failures.push(error);
                continue;
            }
        };
        names.add(site.id.clone(), config);
        let mut on_progress = watch(&site.name);
        let mut found = PassSummary::default();
        let note = |window: &PassSummary| {
            found.add(window);
            on_progress(&found);
        };
        let done = count(&site, spool, options, setup.runtime(), note).await;
        drop(on_progress);
        new.push((site.id, found.new));
        summary.add_site(&config.name, &found, done.as_ref().err());
        failures.extend(done.err());
    }
    let context = setup.output_context();
    for mut route in Route::of(outputs, &setup.config.sites, &context)? {
        if let Err(error) = route.output.check().await {
            failures.push(error);
            continue;
        }
        let gets = |site| route.source.holds(site, &names) == Some(true);
        let records = new.iter().filter(|(site, _)| gets(site));
        let records: u64 = records.map(|(_, records)| records).sum();
        let site = match &route.source {
            Source::All => None,
            Source::Site(name) => Some(names.id(name)),
        };
        let waiting = match (spool, site) {
            // Of a site that was not found nothing can be told.
            (None, _) | (_, Some(None)) => 0,
            (Some(spool), site) => {
                let name = route.output.name();
                spool.waiting(name, site.flatten()).await?.records
            }
        };
        summary.add_output(route.display_name, waiting + records);
    }
    summary.add_requests([setup.sites.http()], began.elapsed());
    Ok((summary, failures))
}
