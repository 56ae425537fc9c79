//! A dry run: reads and counts what a run would deliver, and writes nothing.

use std::time::Instant;

use super::RunSummary;
use crate::config::OutputConfig;
use crate::delivery::{Source, Target};
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
    let mut ids = Vec::new();
    let mut new: Vec<(SiteId, u64)> = Vec::new();
    for config in &setup.config.sites {
        let site = match sites.connect(config).await {
            Ok(site) => site,
            Err(error) => {
                ids.push((config, sites.known_id(config).await.unwrap_or(None)));
                summary.add_site(&config.name, &PassSummary::default(), Some(&error));
                failures.push(error);
                continue;
            }
        };
        ids.push((config, Some(site.id.clone())));
        let mut on_progress = watch(&site.name);
        let mut found = PassSummary::default();
        let note = |now: &PassSummary| {
            found = *now;
            on_progress(now);
        };
        let done = count(&site, spool, options, setup.runtime(), note).await;
        drop(on_progress);
        new.push((site.id, found.new));
        summary.add_site(&config.name, &found, done.as_ref().err());
        failures.extend(done.err());
    }
    let context = setup.output_context();
    for target in Target::of(outputs, &ids)? {
        if let Err(error) = target.output(&context).check().await {
            failures.push(error);
            continue;
        }
        let is_for_it = |site: &SiteId| target.source.holds(site) == Some(true);
        let records = new.iter().filter(|(site, _)| is_for_it(site));
        let records: u64 = records.map(|(_, records)| records).sum();
        let waiting = match (spool, &target.source) {
            (Some(spool), Source::All) => spool.waiting(&target.name, None).await?.records,
            (Some(spool), Source::Site(site)) => {
                spool.waiting(&target.name, Some(site)).await?.records
            }
            _ => 0,
        };
        summary.add_output(target.display_name, waiting + records);
    }
    summary.add_requests([setup.sites.http()], began.elapsed());
    Ok((summary, failures))
}
