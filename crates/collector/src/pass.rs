//! One pass over one site: plan, read and compare, window by window, oldest first.
//!
//! Each window makes one commit, whole and with its watermark; a crash costs the window in hand
//! and nothing else.

use std::time::Duration;

use confluence_audit_core::{Runtime, Timestamp};

use crate::collect::Collecting;
use crate::connect::Site;
use crate::hours::Hours;
use crate::ledger::{Named, difference};
use crate::metrics::Lateness;
use crate::reader::Reader;
use crate::reread::{self, Reread};
use crate::slice::Whole;
use crate::spool::{Commit, Counts, SiteState, Spool};
use crate::walk::Log;
use crate::window::Window;
use crate::{Error, Result, SiteId};

/// Counts are kept for this long beyond the longest step back.
const MARGIN: Duration = Duration::from_hours(1);

/// Before this long ago a site is taken to have no records, when it does not say how long it
/// keeps them: a year is the most that the documents allow. What is older is read all the same.
const RETAINED: Duration = Duration::from_hours(367 * 24);

/// What a pass has found so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Records that were new.
    pub new: u64,
    /// Records that were read again and had been committed.
    pub duplicates: u64,
    /// New records older than the watermark at the beginning: they arrived late.
    pub late: u64,
    /// How late the latest of them was at least: how far its time lies behind that watermark.
    pub late_by: Duration,
    /// How late each of them was.
    pub lateness: Lateness,
    /// The new ones of the last day, by the hour.
    pub hours: Hours,
    /// Everything up to this instant has been read.
    pub watermark: Option<Timestamp>,
}

/// A pass over one site.
pub(crate) struct Pass<'a> {
    reader: Reader<Named>,
    site: SiteId,
    /// What the messages call the site.
    name: &'a str,
    /// What was committed before; `None` is nothing.
    spool: Option<&'a dyn Spool>,
    schedule: &'a [Reread],
    /// This host's clock at the beginning.
    began: Timestamp,
    /// The watermark before the pass.
    since: Option<Timestamp>,
    /// The steps that the end of this pass completes.
    completes: Vec<(String, Timestamp)>,
    found: Found,
}

impl<'a> Pass<'a> {
    /// Plans a pass: from what was read before, or, the first time, from the start that is asked
    /// for or the beginning.
    pub(crate) async fn begin(
        log: Log,
        site: &'a Site,
        spool: Option<&'a dyn Spool>,
        collecting: &'a Collecting,
        runtime: &dyn Runtime,
    ) -> Result<Self> {
        let (name, schedule) = (site.name.as_str(), collecting.schedule.as_slice());
        let state = match spool {
            Some(spool) => spool.site(&site.id).await?,
            None => SiteState::default(),
        };
        let now = runtime.now();
        let due = reread::due(schedule, &state.rereads, now);
        let completes = due.iter().map(|step| (step.name.clone(), now)).collect();
        let (from, silent) = if let Some(watermark) = state.watermark {
            if collecting.start.is_some() {
                tracing::debug!("{name} was read before: it goes on where that ended");
            }
            let span = due.iter().map(|step| step.span).max().unwrap_or_default();
            // What was never counted cannot be compared, so nothing older is read.
            let floor = state.counted_from.unwrap_or(watermark);
            (watermark.saturating_sub(span).max(floor), None)
        } else {
            let start = collecting.start.unwrap_or(Timestamp::from_millis(0));
            (start, Some(retained_from(&log, name, now).await?))
        };
        let span = Window { from, to: None };
        Ok(Self {
            reader: Reader::new(log, Named::of, span, now, silent, collecting.jobs),
            site: site.id.clone(),
            name,
            spool,
            schedule,
            began: now,
            since: state.watermark,
            completes,
            found: Found {
                watermark: state.watermark,
                ..Found::default()
            },
        })
    }

    /// What was found so far.
    pub(crate) fn found(&self) -> Found {
        self.found
    }

    /// Whether all windows have been read.
    pub(crate) fn is_done(&self) -> bool {
        self.reader.is_done()
    }

    /// Reads the next window: what has to be committed of it, before the next one is read. `None`
    /// when there is none left.
    pub(crate) async fn next(&mut self) -> Result<Option<Commit>> {
        let next = self.reader.next().await;
        match next.map_err(|error| Error::service(self.name, error))? {
            Some(whole) => self.compare(whole).await.map(Some),
            None => Ok(None),
        }
    }

    async fn compare(&mut self, whole: Whole<Named>) -> Result<Commit> {
        let Window { from, to } = whole.window;
        // What the service's clock has not reached may still be written. Without that clock the
        // newest record tells how far the log has come; a clock of ours is never asked, and where
        // a window begins may come from it. A window without records moves nothing: a service that
        // has lost sight of its log answers the same.
        let newest = whole.records.last().map(|named| named.placed.time);
        let read_until = whole.server_time.or(newest);
        let end = read_until.map(|read| to.map_or(read, |to| to.min(read)));
        let watermark = self.found.watermark.max(end).unwrap_or(from);

        let last = Timestamp::from_millis(i64::MAX);
        let counts = match self.spool {
            Some(spool) => spool.counts(&self.site, from, to.unwrap_or(last)).await?,
            None => Counts::new(),
        };
        let difference = difference(whole.records, &counts);
        self.found.new += difference.new.len() as u64;
        self.found.duplicates += difference.known;
        for new in &difference.new {
            self.found.hours.add(new.time, 1);
        }
        if let Some(since) = self.since {
            for late in difference.new.iter().filter(|new| new.time <= since) {
                self.found.late += 1;
                let late_by = since.since(late.time);
                self.found.late_by = self.found.late_by.max(late_by);
                self.found.lateness.add(late_by);
            }
        }
        self.found.watermark = Some(watermark);

        let kept = reread::longest(self.schedule) + MARGIN;
        let mut forget_before = watermark.saturating_sub(kept);
        if let (Some(read), Some(end)) = (whole.server_time, to)
            && watermark == end
            && end < read.min(self.began).saturating_sub(kept)
        {
            // What is so old is not read again, so it need not be counted: the next pass begins
            // behind it, whatever becomes of this one.
            forget_before = Timestamp::from_millis(end.as_millis().saturating_add(1));
        }
        let ended = self.reader.is_done();
        Ok(Commit {
            from,
            records: difference.new,
            watermark,
            forget_before,
            rereads: if ended {
                std::mem::take(&mut self.completes)
            } else {
                Vec::new()
            },
        })
    }
}

/// Before when the site keeps nothing, by its own word or by the documents'.
pub(crate) async fn retained_from(log: &Log, name: &str, now: Timestamp) -> Result<Timestamp> {
    let days = match log.client.retention().await {
        Ok(retention) => retention.days(),
        // Nothing else will be answered either.
        Err(error) if error.is_credentials() || error.is_transient() => {
            return Err(Error::service(name, error));
        }
        Err(error) => {
            tracing::debug!("{name} does not say how long it keeps records: {error}");
            None
        }
    };
    let span = days.map_or(RETAINED, |days| {
        Duration::from_hours(days.saturating_add(1) * 24)
    });
    Ok(now.saturating_sub(span))
}
