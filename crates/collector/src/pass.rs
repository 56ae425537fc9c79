//! One pass over one site: plan, read and compare, window by window, oldest first.
//!
//! Each window makes one commit, whole and with its watermark; a crash costs the window in hand
//! and nothing else.

mod clock;
mod last_pass;
mod summary;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use confluence_audit_core::read::{
    Complete, Counts, FIRST_IMPOSSIBLE_TIME, Fingerprinted, Lookback, Reader, SiteLog, Source,
    Window, difference, lookback,
};
use confluence_audit_core::{Runtime, Timestamp};

use crate::config::Start;
use crate::delivery::backpressure::wait_for_capacity;
use crate::delivery::{Delivery, DeliveryRetry, Progress};
use crate::metrics::SiteCounters;
use crate::site::Site;
use crate::spool::{Commit, SiteState, Spool};
use crate::{Config, Error, ErrorKind, Result, SiteId};

pub use self::last_pass::{LastError, LastPass};
pub use self::summary::PassSummary;

/// Counts are kept for this long beyond the longest step back.
const MARGIN: Duration = Duration::from_hours(1);

/// Before this long ago a site is taken to have no records, when it does not say how long it
/// keeps them: a year is the most that the documents allow. What is older is read all the same.
const RETAINED: Duration = Duration::from_hours(367 * 24);

/// The service's word is exact to a day.
const DAY: Duration = Duration::from_hours(24);

/// Where a site's first pass begins, what every pass reads again, and how much of it at a time.
#[derive(Clone, Debug)]
pub struct PassOptions {
    /// The first pass begins here; `None` is everything that the site keeps.
    pub start: Option<Timestamp>,
    /// What is read again, and how often.
    pub schedule: Vec<Lookback>,
    /// How many windows are read at the same time.
    pub jobs: NonZeroUsize,
    /// How many bytes of records may wait for outputs. The window in hand may go beyond it.
    pub spool_limit: u64,
}

impl PassOptions {
    /// As the configuration has it, for a pass that begins at `now`.
    pub fn of(config: &Config, now: Timestamp) -> Self {
        let collect = &config.collect;
        Self {
            start: match collect.start {
                Start::Retained => None,
                Start::At(when) => Some(when.at(now)),
            },
            schedule: collect.reread.clone(),
            jobs: collect.jobs,
            spool_limit: config.state.spool_limit,
        }
    }
}

impl Default for PassOptions {
    fn default() -> Self {
        Self {
            start: None,
            schedule: Lookback::default_schedule(),
            jobs: NonZeroUsize::MIN,
            spool_limit: u64::MAX,
        }
    }
}

impl PassSummary {
    /// Adds what a later window has brought.
    pub fn add(&mut self, window: &Self) {
        self.new += window.new;
        self.duplicates += window.duplicates;
        self.late += window.late;
        self.without_time += window.without_time;
        self.late_by = self.late_by.max(window.late_by);
        self.lateness.merge(&window.lateness);
        self.hours.merge(&window.hours);
        self.watermark = window.watermark.or(self.watermark);
    }

    /// Counts it for the metrics.
    pub fn count(&self, counters: &SiteCounters) {
        counters.records.add(self.new);
        counters.duplicates.add(self.duplicates);
        counters.add_late(&self.lateness);
    }
}

/// Reads what is new at `site` and delivers it, window by window, the next one being read while the
/// last goes out; `on_window` is given what each has brought.
///
/// What an earlier run left in the spool goes out first, whether or not the site answers. An output
/// that fails is noted by `delivery` and ends nothing.
///
/// # Errors
/// The first failure of the site or the spool, and [`SpoolFull`](crate::ErrorKind::SpoolFull) when
/// nothing more may be read because outputs do not take what waits. What was read until then is
/// committed, and the next pass goes on behind it.
pub async fn collect(
    site: &Site,
    spool: &dyn Spool,
    delivery: &mut Delivery,
    options: &PassOptions,
    runtime: &dyn Runtime,
    on_window: impl FnMut(&PassSummary),
) -> Result<PassSummary> {
    delivery.drain(spool, runtime).await?;
    let progress = delivery.progress();
    let reading = read(site, spool, &progress, options, runtime, on_window);
    let retry = DeliveryRetry::RUN;
    delivery.run_beside(reading, spool, retry, runtime).await?
}

/// Reads what is new at `site` and commits it, window by window, for a [`Delivery`] that
/// [runs](Delivery::run) beside it and whose progress this is; `on_window` is given what each has brought.
///
/// # Errors
/// As [`collect`].
pub async fn read(
    site: &Site,
    spool: &dyn Spool,
    progress: &Progress,
    options: &PassOptions,
    runtime: &dyn Runtime,
    on_window: impl FnMut(&PassSummary),
) -> Result<PassSummary> {
    site.remember(spool).await?;
    let done = read_windows(site, spool, progress, options, runtime, on_window).await;
    if done.as_ref().is_err_and(Error::is_wrong_site) {
        site.forget(spool).await?;
    }
    done
}

async fn read_windows(
    site: &Site,
    spool: &dyn Spool,
    progress: &Progress,
    options: &PassOptions,
    runtime: &dyn Runtime,
    mut on_window: impl FnMut(&PassSummary),
) -> Result<PassSummary> {
    let limit = options.spool_limit;
    wait_for_capacity(limit, spool, progress).await?;
    let mut pass = Pass::begin(
        SiteLog::new(site.client.clone()),
        site,
        Some(spool),
        options,
        runtime,
    )
    .await?;
    while let Some((commit, found)) = pass.next().await? {
        let bytes = commit.records.iter().map(|record| record.line.len() as u64);
        let bytes = bytes.sum();
        spool.commit(&site.id, commit).await?;
        progress.committed(bytes).await;
        on_window(&found);
        if !pass.is_done() {
            wait_for_capacity(limit, spool, progress).await?;
        }
    }
    Ok(pass.summary())
}

/// Reads what [`collect`] would and counts it, and leaves everything as it is. `spool` holds what
/// was collected before, if there is anything.
///
/// # Errors
/// The first failure of the site or the spool.
pub async fn count(
    site: &Site,
    spool: Option<&dyn Spool>,
    options: &PassOptions,
    runtime: &dyn Runtime,
    mut on_window: impl FnMut(&PassSummary),
) -> Result<PassSummary> {
    let mut pass = Pass::begin(
        SiteLog::new(site.client.clone()),
        site,
        spool,
        options,
        runtime,
    )
    .await?;
    while let Some((_, found)) = pass.next().await? {
        on_window(&found);
    }
    Ok(pass.summary())
}

/// A pass over one site.
struct Pass<'a> {
    reader: Reader<Fingerprinted>,
    source: Arc<dyn Source>,
    runtime: &'a dyn Runtime,
    site: SiteId,
    /// What the messages call the site.
    name: &'a str,
    /// What was committed before; `None` is nothing.
    spool: Option<&'a dyn Spool>,
    schedule: &'a [Lookback],
    /// This host's clock at the beginning.
    began: Timestamp,
    /// The watermark before the pass.
    since: Option<Timestamp>,
    /// Where a first pass was told to begin, until it is known that this is not in the future.
    start: Option<Timestamp>,
    /// The steps that the end of this pass completes.
    completes: Vec<(String, Timestamp)>,
    summary: PassSummary,
}

impl<'a> Pass<'a> {
    /// Plans a pass: from what was read before, or, the first time, from the start that is asked
    /// for or the beginning.
    async fn begin(
        log: SiteLog,
        site: &'a Site,
        spool: Option<&'a dyn Spool>,
        options: &'a PassOptions,
        runtime: &'a dyn Runtime,
    ) -> Result<Self> {
        let (name, schedule) = (site.name.as_str(), options.schedule.as_slice());
        let now = runtime.now();
        let state = match spool {
            Some(spool) => believable_state(&log, site, spool, now).await?,
            None => SiteState::default(),
        };
        let due = lookback::due(schedule, &state.rereads, now);
        // What the site has shown spares a request, but once in each longest step it has to show it
        // again: it can begin to cap its pages.
        let is_trusted = !due
            .iter()
            .any(|step| step.span == lookback::longest(schedule));
        let largest_page = state.largest_page.filter(|_| is_trusted).unwrap_or(0);
        let source: Arc<dyn Source> = Arc::new(log.with_largest_page(largest_page));
        let completes = due.iter().map(|step| (step.name.clone(), now)).collect();
        let (from, silent) = if let Some(watermark) = state.watermark {
            if options.start.is_some() {
                tracing::debug!("{name} was read before: it goes on where that ended");
            }
            let span = due.iter().map(|step| step.span).max().unwrap_or_default();
            // What was never counted cannot be compared, so nothing older is read.
            let floor = state.counted_from.unwrap_or(watermark);
            (watermark.saturating_sub(span).max(floor), None)
        } else {
            let start = options.start.unwrap_or(Timestamp::from_millis(0));
            (start, Some(retained_from(&*source, name, now).await?))
        };
        let span = Window { from, to: None };
        Ok(Self {
            reader: Reader::new(
                Arc::clone(&source),
                Fingerprinted::of,
                span,
                now,
                silent,
                options.jobs,
            ),
            source,
            runtime,
            site: site.id.clone(),
            name,
            spool,
            schedule,
            began: now,
            since: state.watermark,
            start: options.start.filter(|_| state.watermark.is_none()),
            completes,
            summary: PassSummary {
                watermark: state.watermark,
                ..PassSummary::default()
            },
        })
    }

    /// What was found so far.
    fn summary(&self) -> PassSummary {
        self.summary
    }

    /// Whether all windows have been read.
    fn is_done(&self) -> bool {
        self.reader.is_done()
    }

    /// Reads the next window: what has to be committed of it, before the next one is read, and what
    /// it has brought. `None` when there is none left.
    async fn next(&mut self) -> Result<Option<(Commit, PassSummary)>> {
        let next = self.reader.next().await;
        match next.map_err(|error| Error::service(self.name, error))? {
            Some(whole) => self.compare(whole).await.map(Some),
            None => Ok(None),
        }
    }

    /// A first pass that begins where nothing can be yet would find nothing, now and later.
    fn refuse_start_in_the_future(&mut self, whole: &Complete<Fingerprinted>) -> Result<()> {
        let Some(start) = self.start.take() else {
            return Ok(());
        };
        let host = self.runtime.now();
        if !whole.records.is_empty() || !clock::is_future(start, whole.clock, host) {
            return Ok(());
        }
        let clocks = match whole.clock {
            Some(service) => format!("the site's clock says {service}, this host's {host}"),
            None => format!("this host's clock says {host}"),
        };
        Err(Error::new(
            ErrorKind::Config,
            format!(
                "site {}: the start {start} lies in the future: {clocks}",
                self.name
            ),
            "Give an earlier start (--since, or `start` in [collect]). If the date is as it should \
             be, set this host's clock: an age such as 7d is counted from it.",
        ))
    }

    async fn compare(&mut self, whole: Complete<Fingerprinted>) -> Result<(Commit, PassSummary)> {
        let Window { from, to } = whole.window;
        self.refuse_start_in_the_future(&whole)?;
        // What the service's clock has not reached may still be written. A window without records
        // moves nothing: a service that has lost sight of its log answers the same.
        let host = self.runtime.now();
        let times = whole.records.iter().map(|record| record.timed.time);
        let read_until = clock::read_until(whole.server_time, host, times);
        if let Some(service) = whole.server_time
            && read_until != Some(service)
        {
            tracing::warn!(
                "site {}: its clock says {service} and this host's {host}: until they agree, what \
                 has been read is told by the records, and more is read again",
                self.name
            );
        }
        let end = read_until.map(|read| to.map_or(read, |to| to.min(read)));
        let watermark = self.summary.watermark.max(end).unwrap_or(from);

        let last = Timestamp::from_millis(i64::MAX);
        let counts = match self.spool {
            Some(spool) => {
                let mut counts = spool.counts(&self.site, from, to.unwrap_or(last)).await?;
                if to.is_some() && whole.records.iter().any(|new| !new.timed.is_own_time) {
                    // It may have been filed there when nothing stood above it.
                    let beyond = (FIRST_IMPOSSIBLE_TIME, last);
                    counts.extend(spool.counts(&self.site, beyond.0, beyond.1).await?);
                }
                counts
            }
            None => Counts::new(),
        };
        let difference = difference(whole.records, &counts);
        if difference.without_time > 0 {
            tracing::warn!(
                records = difference.without_time,
                "site {}: records tell no time, or one that cannot be; they are delivered with \
                 those beside them",
                self.name
            );
        }
        let mut found = PassSummary {
            new: difference.new.len() as u64,
            duplicates: difference.known,
            without_time: difference.without_time,
            watermark: Some(watermark),
            ..PassSummary::default()
        };
        for new in &difference.new {
            found.hours.add(new.time, 1);
        }
        if let Some(since) = self.since {
            for late in difference.new.iter().filter(|new| new.time <= since) {
                found.late += 1;
                let late_by = since.since(late.time);
                found.late_by = found.late_by.max(late_by);
                found.lateness.add(late_by);
            }
        }
        self.summary.add(&found);

        let kept = lookback::longest(self.schedule) + MARGIN;
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
        let commit = Commit {
            largest_page: Some(self.source.largest_page()).filter(|records| *records > 0),
            from,
            records: difference.new,
            watermark,
            forget_before,
            rereads: if ended {
                std::mem::take(&mut self.completes)
            } else {
                Vec::new()
            },
        };
        Ok((commit, found))
    }
}

/// How far the reading of a site has come, as far as that can be: a watermark that lies ahead of
/// every clock (two of them were wrong at once) would leave out all that happens until then.
async fn believable_state(
    source: &dyn Source,
    site: &Site,
    spool: &dyn Spool,
    host: Timestamp,
) -> Result<SiteState> {
    let state = spool.site(&site.id).await?;
    let Some(watermark) = state
        .watermark
        .filter(|mark| clock::is_future(*mark, None, host))
    else {
        return Ok(state);
    };
    let page = source.pages(watermark, None).next().await;
    let page = page.map_err(|error| Error::service(&site.name, error))?;
    let service = page.and_then(|page| page.server_time);
    if service.is_some_and(|service| !clock::is_future(watermark, None, service)) {
        // It is this host's clock that is behind.
        return Ok(state);
    }
    let latest = service.map_or(host, |service| service.min(host));
    let (first, last) = (Timestamp::from_millis(i64::MIN), latest);
    let counted = spool.counts(&site.id, first, last).await?;
    let read = counted.last_key_value().map(|((time, _), _)| *time);
    let back_to = read.unwrap_or(latest);
    tracing::warn!(
        "site {}: all was said to be read up to {watermark}, which lies in the future; reading goes \
         on from {back_to}. Compare with `confluence-audit verify` what may be missing",
        site.name
    );
    spool.rewind(&site.id, back_to).await
}

/// Before when the site keeps nothing, by its own word or by the documents'.
pub(crate) async fn retained_from(
    source: &dyn Source,
    name: &str,
    now: Timestamp,
) -> Result<Timestamp> {
    let span = match source.retention().await {
        Ok(span) => span,
        // Nothing else will be answered either.
        Err(error) if error.is_credentials() || error.is_transient() => {
            return Err(Error::service(name, error));
        }
        Err(error) => {
            tracing::debug!("{name} does not say how long it keeps records: {error}");
            None
        }
    };
    let span = span.map_or(RETAINED, |span| span.saturating_add(DAY));
    Ok(now.saturating_sub(span))
}
