//! Stateless export: a part of a site's log, read once.

mod lines;

use std::num::NonZeroUsize;
use std::sync::Arc;

use confluence_audit_core::{RawRecord, Runtime, Timestamp};

use crate::pass::retained_from;
use crate::site::Site;
use crate::{Error, Result};
use confluence_audit_core::read::{
    Reader, SiteLog, Source, TimePage, TimePager, TimedRecord, Window, read_by_offset,
};

pub use self::lines::Lines;

/// What to export.
#[derive(Clone, Debug)]
pub struct Export {
    /// Only records at or after it.
    pub since: Option<Timestamp>,
    /// Only records at or before it.
    pub until: Option<Timestamp>,
    /// Only records one of whose values holds it.
    pub search: Option<String>,
    /// No more records than this.
    pub limit: Option<u64>,
    /// The newest first instead of the oldest.
    pub newest_first: bool,
    /// How many windows are read at the same time; the newest first are read one by one.
    pub jobs: NonZeroUsize,
}

/// Reads the part of the log that `export` names and hands each record to `take`, in order and with
/// the time that it is filed under; says how many there were. Memory does not grow with the part, unless the service does not order its
/// log and the newest are asked for first.
///
/// # Errors
/// [`Service`](crate::ErrorKind::Service), and what `take` fails with.
pub async fn export(
    site: &Site,
    export: &Export,
    runtime: &dyn Runtime,
    mut take: impl FnMut(Timestamp, &RawRecord) -> Result<()>,
) -> Result<u64> {
    let source: Arc<dyn Source> =
        Arc::new(SiteLog::new(site.client.clone()).search(export.search.clone()));
    let limit = export.limit.unwrap_or(u64::MAX);
    let mut count = 0;
    // `false` when the limit is reached.
    let mut take_all = |records: &mut dyn Iterator<Item = TimedRecord>| -> Result<bool> {
        for timed in records {
            if count == limit {
                return Ok(false);
            }
            take(timed.time, &timed.record)?;
            count += 1;
        }
        Ok(count < limit)
    };
    if export.newest_first {
        from_newest(&*source, &site.name, export, &mut take_all).await?;
    } else {
        from_oldest(source, &site.name, export, runtime, &mut take_all).await?;
    }
    Ok(count)
}

type TakeAll<'a> = dyn FnMut(&mut dyn Iterator<Item = TimedRecord>) -> Result<bool> + 'a;

async fn from_oldest(
    source: Arc<dyn Source>,
    name: &str,
    export: &Export,
    runtime: &dyn Runtime,
    take_all: &mut TakeAll<'_>,
) -> Result<()> {
    let now = runtime.now();
    let silent = match export.since {
        Some(_) => None,
        None => Some(retained_from(&*source, name, now).await?),
    };
    let from = export.since.unwrap_or(Timestamp::from_millis(0));
    let span = Window {
        from,
        to: export.until,
    };
    let mut reader = Reader::new(source, |_, timed| timed, span, now, silent, export.jobs);
    while let Some(whole) = reader
        .next()
        .await
        .map_err(|error| Error::service(name, error))?
    {
        if !take_all(&mut whole.records.into_iter())? {
            return Ok(());
        }
    }
    Ok(())
}

async fn from_newest(
    source: &dyn Source,
    name: &str,
    export: &Export,
    take_all: &mut TakeAll<'_>,
) -> Result<()> {
    let from = export.since.unwrap_or(Timestamp::from_millis(0));
    let window = Window {
        from,
        to: export.until,
    };
    let service = |error| Error::service(name, error);
    let mut pager = TimePager::new(source, window);
    loop {
        match pager.step().await.map_err(service)? {
            TimePage::Records(records) | TimePage::Dense(records) => {
                if !take_all(&mut records.into_iter())? {
                    return Ok(());
                }
            }
            TimePage::End => return Ok(()),
            TimePage::Unordered | TimePage::Unclear => {
                // What came until here is whole milliseconds, newer than all the rest.
                let rest = Window {
                    from,
                    to: pager.rest(),
                };
                let records = read_by_offset(source, rest, usize::MAX)
                    .await
                    .map_err(service)?;
                take_all(&mut records.unwrap_or_default().into_iter())?;
                return Ok(());
            }
        }
    }
}
