//! Verification: compares the site's log with files, as multisets: missing, extra and torn lines.
//!
//! First the files are [read](Holdings::read), each record into one small entry; then the site's
//! log is streamed past them, oldest first. The files may be in any order, rotated and compressed.

mod comparison;
mod holdings;
mod lines;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use confluence_audit_core::{Runtime, Timestamp};

use self::comparison::Comparison;
use crate::pass::retained_from;
use crate::site::Site;
use crate::{Error, Result};
use confluence_audit_core::read::{Reader, SiteLog, Source, Window};

pub use self::holdings::Holdings;

/// How much of a record is shown, in characters.
const SHOWN: usize = 160;

/// How exact the word of a site is about when it begins to forget: a day, and the day by which
/// [`retained_from`] is careful.
const RETENTION_MARGIN: Duration = Duration::from_hours(48);

/// What to compare.
#[derive(Clone, Debug)]
pub struct Verify {
    /// From here on; `None` is the time of the oldest record in the files.
    pub since: Option<Timestamp>,
    /// Up to here; `None` is the time of the newest record in the files.
    pub until: Option<Timestamp>,
    /// How many windows of the log are read at the same time.
    pub jobs: NonZeroUsize,
}

/// What a comparison came to. Texts in it are safe to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Where the compared window begins; `None` is with the first record of the site.
    pub from: Option<Timestamp>,
    /// Where it ends, itself included; `None` is with the newest record of the site.
    pub to: Option<Timestamp>,
    /// Records that the site has in the window.
    pub on_site: u64,
    /// Records that the files hold of the window.
    pub in_files: u64,
    /// Records in the files that are not of the window, and were not compared.
    pub outside: u64,
    /// Records of the window that do not tell their time in any known form, in the files and on
    /// the site: they are compared by content alone, and near the window's ends may be counted
    /// to the wrong side.
    pub untimed: u64,
    /// Records in the files that are as old as what the site forgets: it cannot say whether they
    /// are right.
    pub forgotten: u64,
    /// How many records the files lack.
    pub missing: u64,
    /// The spans in which they lack every record, oldest first; the last one may stand for all
    /// that were not listed.
    pub gaps: Vec<Gap>,
    /// How many gaps there are.
    pub gap_count: u64,
    /// How many records are in the files beyond what the site has.
    pub extra: u64,
    /// Some of them, oldest first.
    pub extras: Vec<Extra>,
    /// How many lines are no records.
    pub torn: u64,
    /// Some of them, as the files are in order.
    pub torn_lines: Vec<Torn>,
}

impl Verified {
    /// Whether the files hold exactly what the site has.
    pub fn is_exact(&self) -> bool {
        (self.missing, self.extra, self.torn) == (0, 0, 0)
    }
}

/// Records next to each other on the site, none of which is in the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The time of the first.
    pub from: Timestamp,
    /// The time of the last.
    pub to: Timestamp,
    /// How many there are.
    pub records: u64,
    /// Some of them: when, and what.
    pub shown: Vec<(Timestamp, String)>,
}

/// A record that the files hold more often than the site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    /// Its time, if it tells one.
    pub time: Option<Timestamp>,
    /// How many copies are too many.
    pub copies: u32,
    /// The file of the last copy.
    pub file: String,
    /// Its line there, from 1.
    pub line: u64,
    /// What it is; `None` when the file could not be read a second time.
    pub what: Option<String>,
}

/// A line that is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub file: String,
    /// Its line there, from 1.
    pub line: u64,
    /// The time of the last whole record before it in the file.
    pub after: Option<Timestamp>,
    /// What is wrong with it.
    pub why: String,
}

/// Compares the site's log with what was read from the files.
///
/// Memory grows with the distinct records in the files, by some 60 to 130 bytes each, and not
/// with the site's log.
///
/// # Errors
/// [`Service`](crate::ErrorKind::Service) when the site cannot be read.
pub async fn verify(
    site: &Site,
    holdings: Holdings,
    verify: &Verify,
    runtime: &dyn Runtime,
    mut progress: impl FnMut(u64, Timestamp),
) -> Result<Verified> {
    let source: Arc<dyn Source> = Arc::new(SiteLog::new(site.client.clone()));
    let now = runtime.now();
    let from = verify.since.or(holdings.oldest);
    let span = Window {
        from: from.unwrap_or(Timestamp::from_millis(0)),
        to: verify.until.or(holdings.newest),
    };
    let silent = match from {
        Some(_) => None,
        None => Some(retained_from(&*source, &site.name, now).await?),
    };
    let mut comparison = Comparison::new(holdings, (from, span.to));
    let mut reader = Reader::new(
        Arc::clone(&source),
        |_, timed| timed,
        span,
        now,
        silent,
        verify.jobs,
    );
    while let Some(whole) = reader
        .next()
        .await
        .map_err(|error| Error::service(&site.name, error))?
    {
        for timed in &whole.records {
            comparison.take(timed);
        }
        if let Some(last) = whole.records.last() {
            progress(comparison.done.on_site, last.time);
        }
    }
    let retained = if comparison.has_unknown() {
        let retained = retained_from(&*source, &site.name, now).await?;
        Some(retained.saturating_add(RETENTION_MARGIN))
    } else {
        None
    };
    Ok(comparison.finish(retained))
}
