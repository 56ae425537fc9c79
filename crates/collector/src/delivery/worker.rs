//! Worker of one output: takes what waits, delivers and confirms it batch by batch, and retries.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use confluence_audit_core::{RawRecord, Runtime};
use confluence_audit_formats::Format;
use futures_util::future::select;
use tokio::sync::watch;

use super::progress::{OutputFailure, OutputStatus, Progress, ProgressState};
use super::{DeliveryRetry, Route, SiteNames};
use crate::metrics::OutputCounters;
use crate::output::{Entry, OutputName};
use crate::spool::{OutputState, Pending, Spool, Spooled};
use crate::{Error, Result, SiteId};

/// What all workers share while they deliver.
pub(super) struct Context<'a> {
    pub(super) spool: &'a dyn Spool,
    pub(super) progress: &'a Progress,
    pub(super) retry: DeliveryRetry,
    pub(super) runtime: &'a dyn Runtime,
}

/// Delivers to one output.
pub(super) struct OutputWorker {
    route: Route,
    counters: Arc<OutputCounters>,
    /// Its place in the progress.
    index: usize,
    checkpoint: Option<Vec<u8>>,
    /// The last number that the output confirmed.
    seq: i64,
    /// Since it last got something.
    failure: Option<Failure>,
    is_ready: bool,
    /// How often it was asked to try again, and did.
    retries: u64,
}

/// Why an output gets nothing at present.
struct Failure {
    error: Error,
    /// How often it has failed without getting anything.
    attempts: u32,
    /// The waits between these.
    waited: Duration,
    /// It is tried again after this; `None` when somebody has to ask.
    retry_after: Option<Duration>,
}

/// What became of one batch.
enum Batch {
    /// There may be more.
    Delivered,
    /// Nothing more waits of what so many commits brought, but for what is `blocked`.
    Drained {
        commits: u64,
        /// What waits next is of this site, of which it is not known whether the output gets it.
        blocked: Option<SiteId>,
    },
    /// The output failed.
    Failed(Error),
}

impl OutputWorker {
    pub(super) fn new(
        route: Route,
        state: OutputState,
        counters: Arc<OutputCounters>,
        index: usize,
    ) -> Self {
        Self {
            route,
            counters,
            index,
            checkpoint: state.checkpoint,
            seq: state.seq,
            failure: None,
            is_ready: false,
            retries: 0,
        }
    }

    fn name(&self) -> &OutputName {
        self.route.output.name()
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    pub(super) fn take_failure(&mut self, progress: &Progress) -> Option<Error> {
        let failure = self.failure.take()?;
        progress.update(self.index, |status| status.failure = None);
        Some(failure.error)
    }

    pub(super) fn warn_of_failure(&self) {
        if let Some(failure) = &self.failure {
            tracing::warn!(
                output = %self.name(),
                "{}; its backlog waits in the spool, and all else goes on",
                failure.error
            );
        }
    }

    /// Makes the output ready; what is wrong with it is noted.
    pub(super) async fn prepare(&mut self, progress: &Progress) {
        match self.route.output.prepare().await {
            Ok(()) => self.is_ready = true,
            Err(error) => self.fail(error, progress),
        }
    }

    /// Delivers until it is stopped; fails only with the spool.
    pub(super) async fn run(&mut self, context: &Context<'_>) -> Result<()> {
        let mut updates = context.progress.subscribe();
        if updates.borrow().retries == self.retries {
            self.plan_retry(context);
        }
        self.note_begin(context);
        while !updates.borrow_and_update().is_stopped {
            if let Some(failure) = &self.failure {
                self.wait_for_retry(failure.retry_after, context, &mut updates)
                    .await;
                let state = updates.borrow();
                if state.is_stopped {
                    break;
                }
                self.retries = state.retries;
            }
            match self.deliver_batch(context, &mut updates).await? {
                Batch::Delivered => self.recover(context.progress),
                Batch::Failed(error) => {
                    // What made it ready may be what is wrong: a secret that was changed.
                    self.is_ready = false;
                    self.fail(error, context.progress);
                    self.plan_retry(context);
                    if let Some(Failure { attempts: 1, .. }) = self.failure {
                        self.warn_of_failure();
                    }
                }
                Batch::Drained { commits, blocked } => {
                    self.recover(context.progress);
                    let is_behind = blocked.is_some();
                    context.progress.update(self.index, |status| {
                        status.reached = commits;
                        status.is_behind = is_behind;
                        if !is_behind {
                            status.behind_since = None;
                        }
                    });
                    self.wait_for_more(commits, blocked.as_ref(), &mut updates)
                        .await;
                    self.note_begin(context);
                }
            }
        }
        Ok(())
    }

    /// Notes since when something may wait.
    fn note_begin(&self, context: &Context<'_>) {
        context.progress.update(self.index, |status| {
            status.behind_since.get_or_insert(context.runtime.now());
        });
    }

    fn fail(&mut self, error: Error, progress: &Progress) {
        self.counters.failures.add(1);
        progress.update(self.index, |status| {
            status.is_behind = true;
            status.failure = Some(OutputFailure {
                message: error.chain(),
                remedy: error.remedy().to_owned(),
                is_final: false,
            });
        });
        let (attempts, waited) = self.failure.take().map_or((0, Duration::ZERO), |before| {
            let waited = before.retry_after.unwrap_or_default();
            (before.attempts, before.waited.saturating_add(waited))
        });
        self.failure = Some(Failure {
            error,
            attempts: attempts.saturating_add(1),
            waited,
            retry_after: None,
        });
    }

    /// Plans when the output that has failed is tried again.
    fn plan_retry(&mut self, context: &Context<'_>) {
        let Some(failure) = &mut self.failure else {
            return;
        };
        failure.retry_after = context.retry.wait(
            &failure.error,
            failure.attempts,
            failure.waited,
            context.runtime.random(),
        );
        let is_final = failure.retry_after.is_none();
        context.progress.update(self.index, |status| {
            if let Some(failure) = &mut status.failure {
                failure.is_final = is_final;
            }
        });
    }

    fn recover(&mut self, progress: &Progress) {
        if self.failure.take().is_some() {
            tracing::info!(output = %self.name(), "the output works again");
            progress.update(self.index, |status| status.failure = None);
        }
    }

    /// Delivers and confirms what waits next; fails only with the spool.
    async fn deliver_batch(
        &mut self,
        context: &Context<'_>,
        updates: &mut watch::Receiver<ProgressState>,
    ) -> Result<Batch> {
        if !self.is_ready {
            if let Err(error) = self.route.output.prepare().await {
                return Ok(Batch::Failed(error));
            }
            self.is_ready = true;
        }
        let (
            commits,
            Pending {
                mut records,
                is_cut,
            },
        ) = self.pending(context, updates).await?;
        // Asked for after the records: of what was committed since the start, the site is known.
        let sites = updates.borrow().sites.clone();
        let holds = |record: &Spooled| self.route.source.holds(&record.site, &sites);
        let unsure = records.iter().position(|record| holds(record).is_none());
        let blocked = unsure.map(|unsure| records[unsure].site.clone());
        records.truncate(unsure.unwrap_or(records.len()));
        let Some(last) = records.last().map(|record| record.seq) else {
            return Ok(Batch::Drained { commits, blocked });
        };
        records.retain(|record| holds(record) == Some(true));
        let entries = records
            .iter()
            .map(|record| entry(record, self.route.format, &sites));
        let (entries, fits): (Vec<Entry>, Vec<bool>) = entries.unzip();
        let checkpoint = self.checkpoint.as_deref();
        let done = match self.route.output.deliver(&entries, checkpoint).await {
            Ok(done) => done,
            Err(error) => return Ok(Batch::Failed(error)),
        };
        let seq = match done.lines {
            all if all == records.len() => last,
            0 => self.seq,
            some => records[some - 1].seq,
        };
        let spool = context.spool;
        spool.confirm(self.name(), seq, &done.checkpoint).await?;
        self.seq = seq;
        self.checkpoint = Some(done.checkpoint);
        let unfit = fits[..done.lines].iter().filter(|fits| !**fits).count();
        self.counters.records.add(done.lines as u64);
        self.counters.dead_letters.add(done.dead as u64);
        self.counters.unfit.add(unfit as u64);
        if unfit > 0 {
            tracing::warn!(
                output = %self.name(),
                records = unfit,
                "records did not fit the format {}; they were delivered as the site wrote them, \
                 and are marked",
                self.route.format
            );
        }
        if is_cut || blocked.is_some() || seq < last {
            return Ok(Batch::Delivered);
        }
        let blocked = None;
        Ok(Batch::Drained { commits, blocked })
    }

    /// What waits next, and how many commits had been made before it was looked up; what is too
    /// little may become more while it waits.
    async fn pending(
        &self,
        context: &Context<'_>,
        updates: &mut watch::Receiver<ProgressState>,
    ) -> Result<(u64, Pending)> {
        let (name, limits) = (self.name(), self.route.batch);
        let pending = || context.spool.pending(name, limits.records, limits.bytes);
        let commits = updates.borrow().commits;
        let batch = pending().await?;
        let records = &batch.records;
        let bytes: usize = records.iter().map(|record| record.line.len()).sum();
        let is_full = records.len() >= limits.records || bytes >= limits.bytes;
        let is_due = records.is_empty() || is_full || batch.is_cut;
        if is_due || !context.retry.lingers() || limits.age.is_zero() {
            return Ok((commits, batch));
        }
        // It has not been outrun: it would rather have more.
        let note = |status: &mut OutputStatus| status.reached = status.reached.max(commits);
        context.progress.update(self.index, note);
        {
            let stopped = pin!(wait_for(updates, |state| state.is_stopped));
            select(stopped, context.runtime.sleep(limits.age)).await;
        }
        let commits = updates.borrow().commits;
        Ok((commits, pending().await?))
    }

    /// Returns when there may be more than what so many `commits` brought, or when it can be told
    /// whether what is `blocked` is for this output.
    async fn wait_for_more(
        &self,
        commits: u64,
        blocked: Option<&SiteId>,
        updates: &mut watch::Receiver<ProgressState>,
    ) {
        let source = &self.route.source;
        let can_tell = |site, state: &ProgressState| source.holds(site, &state.sites).is_some();
        wait_for(updates, |state| {
            state.is_stopped
                || state.commits > commits
                || blocked.is_some_and(|site| can_tell(site, state))
        })
        .await;
    }

    /// Returns when an output that has failed is due once more.
    async fn wait_for_retry(
        &self,
        after: Option<Duration>,
        context: &Context<'_>,
        updates: &mut watch::Receiver<ProgressState>,
    ) {
        let asked = wait_for(updates, |state| {
            state.is_stopped || state.retries > self.retries
        });
        match after {
            Some(after) => drop(select(pin!(asked), context.runtime.sleep(after)).await),
            None => asked.await,
        }
    }
}

async fn wait_for(
    updates: &mut watch::Receiver<ProgressState>,
    condition: impl Fn(&ProgressState) -> bool,
) {
    // It fails when the sender is gone, and whoever waits here borrows the progress that holds it.
    drop(updates.wait_for(|state| condition(state)).await);
}

fn entry(record: &Spooled, format: Format, sites: &SiteNames) -> (Entry, bool) {
    let raw = RawRecord::from_line(record.line.clone());
    let line = confluence_audit_formats::line(format, &raw, &sites.context(record));
    let entry = Entry {
        line: line.bytes,
        site: sites.name(&record.site),
        site_id: record.site.clone(),
        time: record.time,
        fingerprint: record.fingerprint,
        ordinal: record.ordinal,
    };
    (entry, line.fits)
}
