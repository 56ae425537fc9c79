//! One pass over one site: plan, read, compare, commit, window by window, oldest first.
//!
//! Each window is committed whole, with its watermark, in one transaction; a crash costs the
//! window in hand and nothing else.

use std::time::Duration;

use confluence_audit_core::{Runtime, Timestamp};

use crate::collect::Collecting;
use crate::connect::Site;
use crate::ledger::difference;
use crate::reread::{self, Reread};
use crate::slice::{self, Slice, Whole};
use crate::spool::{Commit, Spool};
use crate::walk::Log;
use crate::window::{Plan, Window};
use crate::{Error, Result, SiteId};

/// How many records a window may hold: what is in memory at a time, and what a crash costs.
pub(crate) const WINDOW: usize = 10_000;

/// How many records a window is planned for.
pub(crate) const TARGET: u64 = WINDOW as u64 / 2;

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
    /// Everything up to this instant has been read.
    pub watermark: Option<Timestamp>,
}

/// A pass over one site.
pub(crate) struct Pass<'a> {
    log: Log,
    site: SiteId,
    /// What the messages call the site.
    name: &'a str,
    spool: &'a dyn Spool,
    schedule: &'a [Reread],
    plan: Plan,
    /// The watermark before the pass.
    since: Option<Timestamp>,
    /// The steps that the end of this pass completes.
    completes: Vec<(String, Timestamp)>,
    now: Timestamp,
    found: Found,
}

impl<'a> Pass<'a> {
    /// Plans a pass: from what was read before, or, the first time, from the start that is asked
    /// for or the beginning.
    pub(crate) async fn begin(
        log: Log,
        site: &'a Site,
        spool: &'a dyn Spool,
        collecting: &'a Collecting,
        runtime: &dyn Runtime,
    ) -> Result<Self> {
        let (name, schedule) = (site.name.as_str(), collecting.schedule.as_slice());
        let state = spool.site(&site.id).await?;
        let now = runtime.now();
        let due = reread::due(schedule, &state.rereads, now);
        let completes = due.iter().map(|step| (step.name.clone(), now)).collect();
        let plan = if let Some(watermark) = state.watermark {
            if collecting.start.is_some() {
                tracing::debug!("{name} was read before: it goes on where that ended");
            }
            let span = due.iter().map(|step| step.span).max().unwrap_or_default();
            // What was never counted cannot be compared, so nothing older is read.
            let floor = state.counted_from.unwrap_or(watermark);
            Plan::new(watermark.saturating_sub(span).max(floor), None, now, TARGET)
        } else {
            let start = collecting.start.unwrap_or(Timestamp::from_millis(0));
            let retained = retained_from(&log, name, now).await?;
            Plan::new(start, None, now, TARGET).with_silence_until(retained)
        };
        Ok(Self {
            log,
            site: site.id.clone(),
            name,
            spool,
            schedule,
            plan,
            since: state.watermark,
            completes,
            now,
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

    /// Reads and commits the next window; `false` when there is none left.
    pub(crate) async fn step(&mut self) -> Result<bool> {
        let whole = loop {
            let Some(window) = self.plan.window() else {
                return Ok(false);
            };
            match slice::read(&self.log, window, WINDOW, self.now).await {
                Ok(Slice::Whole(whole)) => break whole,
                Ok(Slice::TooMany(estimate)) => {
                    tracing::debug!(site = self.name, estimate, "{window} is cut");
                    self.plan.cut(estimate);
                }
                Err(error) => return Err(Error::service(self.name, error)),
            }
        };
        if let Some(now) = whole.server_time {
            // The service's clock is the one that counts; ours was a first guess.
            self.now = now;
            self.plan.set_now(now);
        }
        self.plan.advance(whole.window, whole.records.len() as u64);
        tracing::debug!(
            site = self.name,
            records = whole.records.len(),
            "{} is read",
            whole.window
        );
        self.commit(whole).await?;
        Ok(true)
    }

    async fn commit(&mut self, whole: Whole) -> Result<()> {
        let Window { from, to } = whole.window;
        // What the service's clock has not reached may still be written. Without that clock the
        // newest record tells how far the log has come; a clock of ours is never asked.
        let newest = whole.records.last().map(|record| record.time);
        let read_until = whole.server_time.or(newest).unwrap_or(from);
        let end = to.map_or(read_until, |to| to.min(read_until));
        let watermark = self.found.watermark.map_or(end, |before| before.max(end));

        let last = Timestamp::from_millis(i64::MAX);
        let counts = self
            .spool
            .counts(&self.site, from, to.unwrap_or(last))
            .await?;
        let difference = difference(whole.records, &counts);
        let late = |time: Timestamp| self.since.is_some_and(|since| time <= since);
        self.found.new += difference.new.len() as u64;
        self.found.duplicates += difference.known;
        self.found.late += difference
            .new
            .iter()
            .filter(|record| late(record.time))
            .count() as u64;
        self.found.watermark = Some(watermark);

        let kept = reread::longest(self.schedule) + MARGIN;
        let ended = self.plan.window().is_none();
        let commit = Commit {
            from,
            records: difference.new,
            watermark,
            forget_before: watermark.saturating_sub(kept),
            rereads: if ended {
                std::mem::take(&mut self.completes)
            } else {
                Vec::new()
            },
        };
        self.spool.commit(&self.site, commit).await
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
