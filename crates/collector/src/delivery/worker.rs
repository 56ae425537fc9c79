//! One output: what waits for it, batch after batch, and what becomes of its failures.

use std::pin::pin;
use std::time::Duration;

use confluence_audit_core::{RawRecord, Runtime};
use confluence_audit_formats::Format;
use futures_util::future::{Either, select};
use tokio::sync::watch;

use super::progress::{Failed, OutputStatus, Phase, Progress, State};
use super::{DeliveryRetry, Route, SiteNames, Source};
use crate::output::{Entry, OutputName};
use crate::spool::{OutputState, Pending, Spool, Spooled};
use crate::{Error, Result};

/// What all outputs share while they deliver.
pub(super) struct Context<'a> {
    pub(super) spool: &'a dyn Spool,
    pub(super) site_names: &'a SiteNames,
    pub(super) progress: &'a Progress,
    pub(super) retry: DeliveryRetry,
    pub(super) runtime: &'a dyn Runtime,
}

/// An output under way.
pub(super) struct OutputWorker {
    route: Route,
    /// Its place on the progress.
    index: usize,
    checkpoint: Option<Vec<u8>>,
    /// The last number that it confirmed.
    seq: i64,
    /// Since it last got something.
    failure: Option<Failure>,
    is_ready: bool,
    /// How often it was asked to try again, and did.
    asked: u64,
}

/// Why an output gets nothing at present.
struct Failure {
    error: Error,
    /// How often it has failed without getting anything.
    attempts: u32,
    /// The waits between these.
    waited: Duration,
    /// It is tried again after this; `None` when somebody has to ask.
    again: Option<Duration>,
}

/// How a round of batches ended.
enum Round {
    /// Nothing more waits of what so many commits brought, or nothing that can be told to be its own.
    Drained { commits: u64, is_behind: bool },
    /// The delivery is to stop.
    Stopped,
    /// The output failed.
    Failed(Error),
}

/// What became of one batch.
enum Batch {
    /// There may be more.
    Delivered,
    /// It was all that so many commits brought.
    Last {
        commits: u64,
    },
    /// There was none; perhaps something waits that cannot be told to be its own.
    None {
        commits: u64,
        is_behind: bool,
    },
    Failed(Error),
}

impl OutputWorker {
    pub(super) fn new(route: Route, state: OutputState, index: usize) -> Self {
        Self {
            route,
            index,
            checkpoint: state.checkpoint,
            seq: state.seq,
            failure: None,
            is_ready: false,
            asked: 0,
        }
    }

    pub(super) fn name(&self) -> &OutputName {
        self.route.output.name()
    }

    pub(super) fn set_source(&mut self, source: Source) {
        self.route.source = source;
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    pub(super) fn take_failure(&mut self, progress: &Progress) -> Option<Error> {
        let failure = self.failure.take()?;
        progress.note(self.index, |status| status.failure = None);
        Some(failure.error)
    }

    pub(super) fn warn_of_failure(&self) {
        if let Some(failure) = &self.failure {
            tracing::warn!(
                output = %self.name(),
                "{}; what it lacks waits in the spool, and all else goes on",
                failure.error
            );
        }
    }

    /// Makes the output ready; what is wrong with it is noted.
    pub(super) async fn prepare(&mut self, progress: &Progress) {
        match self.route.output.prepare().await {
            Ok(()) => self.is_ready = true,
            Err(error) => self.fail(error, Duration::ZERO, progress),
        }
    }

    /// Delivers until the progress ends it; fails only with the spool.
    pub(super) async fn run(&mut self, context: &Context<'_>) -> Result<()> {
        let mut notes = context.progress.subscribe();
        if notes.borrow().asked == self.asked {
            self.plan(context);
        }
        loop {
            if notes.borrow_and_update().phase == Phase::Stop {
                return Ok(());
            }
            context.progress.note(self.index, |status| {
                status.behind_since.get_or_insert(context.runtime.now());
            });
            if let Some(failure) = &self.failure {
                let again = failure.again;
                if !wait_for_another_try(context, &mut notes, again, self.asked).await {
                    return Ok(());
                }
                self.asked = notes.borrow().asked;
            }
            match self.round(context, &mut notes).await? {
                Round::Stopped => return Ok(()),
                Round::Failed(error) => {
                    let waited = self.failure.as_ref().and_then(|failure| failure.again);
                    self.fail(error, waited.unwrap_or_default(), context.progress);
                    self.plan(context);
                    if self.failure.as_ref().is_some_and(|it| it.attempts == 1) {
                        self.warn_of_failure();
                    }
                }
                Round::Drained { commits, is_behind } => {
                    self.recover(context.progress);
                    context.progress.note(self.index, |status| {
                        status.reached = commits;
                        status.is_behind = is_behind;
                        if !is_behind {
                            status.behind_since = None;
                        }
                    });
                    let more = |now: &State| now.commits > commits || now.phase != Phase::Open;
                    wait_for(&mut notes, more).await;
                    let now = notes.borrow();
                    if now.phase != Phase::Open && now.commits == commits {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn fail(&mut self, error: Error, waited: Duration, progress: &Progress) {
        let before = self.failure.take();
        let before = before.map_or((0, Duration::ZERO), |it| (it.attempts, it.waited));
        progress.note(self.index, |status| {
            status.failures += 1;
            status.is_behind = true;
            status.failure = Some(Failed {
                message: error.chain(),
                remedy: error.remedy().to_owned(),
                given_up: false,
            });
        });
        self.failure = Some(Failure {
            error,
            attempts: before.0.saturating_add(1),
            waited: before.1.saturating_add(waited),
            again: None,
        });
    }

    /// Says when the output that has failed is tried again.
    fn plan(&mut self, context: &Context<'_>) {
        let Some(failure) = &mut self.failure else {
            return;
        };
        failure.again = context.retry.wait(
            &failure.error,
            failure.attempts,
            failure.waited,
            context.runtime.random(),
        );
        let given_up = failure.again.is_none();
        context.progress.note(self.index, |status| {
            if let Some(failed) = &mut status.failure {
                failed.given_up = given_up;
            }
        });
    }

    fn recover(&mut self, progress: &Progress) {
        if self.failure.take().is_some() {
            tracing::info!(output = %self.name(), "the output takes records again");
            progress.note(self.index, |status| status.failure = None);
        }
    }

    /// Delivers what waits; fails only with the spool.
    async fn round(
        &mut self,
        context: &Context<'_>,
        notes: &mut watch::Receiver<State>,
    ) -> Result<Round> {
        if !self.is_ready {
            if let Err(error) = self.route.output.prepare().await {
                return Ok(Round::Failed(error));
            }
            self.is_ready = true;
        }
        loop {
            if notes.borrow().phase == Phase::Stop {
                return Ok(Round::Stopped);
            }
            match self.batch(context, notes).await? {
                Batch::Delivered => self.recover(context.progress),
                Batch::Last { commits } => {
                    let is_behind = false;
                    return Ok(Round::Drained { commits, is_behind });
                }
                Batch::None { commits, is_behind } => {
                    return Ok(Round::Drained { commits, is_behind });
                }
                Batch::Failed(error) => {
                    // What made it ready may be what is wrong: a secret that was changed.
                    self.is_ready = false;
                    return Ok(Round::Failed(error));
                }
            }
        }
    }

    async fn batch(
        &mut self,
        context: &Context<'_>,
        notes: &mut watch::Receiver<State>,
    ) -> Result<Batch> {
        let name = self.name().clone();
        let (commits, pending) = self.pending(context, notes).await?;
        let Pending {
            records: mut batch,
            is_cut,
        } = pending;
        let source = &self.route.source;
        let unsure = batch.iter().position(|it| source.holds(&it.site).is_none());
        batch.truncate(unsure.unwrap_or(batch.len()));
        let Some(last) = batch.last().map(|record| record.seq) else {
            let is_behind = unsure.is_some();
            return Ok(Batch::None { commits, is_behind });
        };
        batch.retain(|record| source.holds(&record.site) == Some(true));
        let entries = batch
            .iter()
            .map(|record| entry(record, self.route.format, context.site_names));
        let (entries, fits): (Vec<Entry>, Vec<bool>) = entries.unzip();
        let checkpoint = self.checkpoint.as_deref();
        let done = match self.route.output.deliver(&entries, checkpoint).await {
            Ok(done) => done,
            Err(error) => return Ok(Batch::Failed(error)),
        };
        let seq = match done.lines {
            all if all == batch.len() => last,
            0 => self.seq,
            some => batch[some - 1].seq,
        };
        context.spool.confirm(&name, seq, &done.checkpoint).await?;
        self.seq = seq;
        self.checkpoint = Some(done.checkpoint);
        let unfit = fits[..done.lines].iter().filter(|fits| !**fits).count();
        context.progress.note(self.index, |status| {
            status.delivered += done.lines as u64;
            status.dead += done.dead as u64;
            status.unfit += unfit as u64;
        });
        if unfit > 0 {
            tracing::warn!(
                output = %name,
                records = unfit,
                "records did not fit the format {}; they were delivered as the site wrote them, \
                 and are marked",
                self.route.format
            );
        }
        if is_cut || unsure.is_some() || seq < last {
            return Ok(Batch::Delivered);
        }
        Ok(Batch::Last { commits })
    }

    /// What is due, and how many commits had been made before it was looked up; what is too little
    /// may become more while it waits.
    async fn pending(
        &self,
        context: &Context<'_>,
        notes: &mut watch::Receiver<State>,
    ) -> Result<(u64, Pending)> {
        let (name, limits) = (self.name(), self.route.batch);
        let pending = || context.spool.pending(name, limits.records, limits.bytes);
        let commits = notes.borrow().commits;
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
        context.progress.note(self.index, note);
        {
            let ends = pin!(wait_for(notes, |now| now.phase != Phase::Open));
            select(ends, context.runtime.sleep(limits.age)).await;
        }
        let commits = notes.borrow().commits;
        Ok((commits, pending().await?))
    }
}

/// Returns when an output that has failed is due once more; `false` when the delivery ends before.
async fn wait_for_another_try(
    context: &Context<'_>,
    notes: &mut watch::Receiver<State>,
    again: Option<Duration>,
    asked: u64,
) -> bool {
    let ends = |now: &State| match again {
        Some(_) => now.phase == Phase::Stop,
        None => now.phase != Phase::Open,
    };
    {
        let called = pin!(wait_for(notes, |now| now.asked > asked || ends(now)));
        match again {
            Some(after) => {
                if let Either::Right(_) = select(called, context.runtime.sleep(after)).await {
                    return true;
                }
            }
            None => called.await,
        }
    }
    notes.borrow().asked > asked
}

async fn wait_for(notes: &mut watch::Receiver<State>, condition: impl Fn(&State) -> bool) {
    // It fails when the sender is gone, and whoever waits here borrows the progress that holds it.
    drop(notes.wait_for(|now| condition(now)).await);
}

fn entry(record: &Spooled, format: Format, site_names: &SiteNames) -> (Entry, bool) {
    let raw = RawRecord::from_line(record.line.clone());
    let line = confluence_audit_formats::line(format, &raw, &site_names.context(record));
    let entry = Entry {
        line: line.bytes,
        site: site_names.name(&record.site),
        site_id: record.site.clone(),
        time: record.time,
        fingerprint: record.fingerprint,
        ordinal: record.ordinal,
    };
    (entry, line.fits)
}
