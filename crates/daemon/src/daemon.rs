//! The loop: begins passes when they are due, hears how they ended, and listens to signals.
//!
//! It sleeps until the next thing to do. Whatever it drops when it ends or reads its configuration
//! again is safe to drop at any instant: records, counts and watermark are one transaction, and
//! an output that was cut off finds out what had arrived.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use confluence_audit_collector::pass::LastPass;
use confluence_audit_collector::pass::PassSummary;
use confluence_audit_collector::schedule::{End, Health, Next, Schedule};
use confluence_audit_collector::spool::{Spool as _, SqliteSpool};
use confluence_audit_collector::{Error, ErrorKind, Result};
use confluence_audit_core::{Runtime as _, SystemRuntime};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use crate::args::Args;
use crate::generation::Generation;
use crate::liveness::{self, Check};
use crate::pass::{Ended, Failure, Pass};
use crate::server;
use crate::settings::Settings;
use crate::signals::{Signal, Signals};
use crate::systemd::{self, Systemd};
use crate::watch::{LastError, Phase, SiteStatus, Watch};

/// An output that does nothing for so long, and says nothing of it, is stuck.
const STUCK: Duration = Duration::from_mins(10);

/// Collects until a signal ends it. The state directory `dir` is locked.
///
/// # Errors
/// What leaves nothing to go on with: the spool, or a configuration that was wrong from the start.
pub(crate) async fn run(args: &Args, settings: Settings, dir: &Path) -> Result<()> {
    let mut signals = Signals::listen()?;
    let watch = Watch::new();
    let (liveness, checks) = liveness::channel();
    let mut server = server::bind(args.listen, watch.clone(), liveness).await?;
    let server = tokio::spawn(async move { server.run().await });
    let dir = dir.to_owned();
    let opening = spawn_blocking(move || SqliteSpool::open(&dir));
    let spool = tokio::select! {
        opened = opening => opened.map_err(panicked)??,
        () = signals.end() => return Ok(()),
    };
    let schedule = Schedule::new(settings.config.collect.passes);
    let mut daemon = Daemon {
        args,
        spool,
        watch,
        schedule,
        systemd: Systemd::new(),
        passes: JoinSet::new(),
        under_way: HashMap::new(),
        due: None,
        was_full: false,
        moves: HashMap::new(),
    };
    let generation = daemon.begin(settings).await?;
    let done = daemon.work(generation, &mut signals, checks).await;
    server.abort();
    done
}

struct Daemon<'a> {
    args: &'a Args,
    spool: SqliteSpool,
    watch: Watch,
    schedule: Schedule,
    systemd: Systemd,
    passes: JoinSet<Ended>,
    under_way: HashMap<Id, Arc<str>>,
    /// When the schedule has something to do.
    due: Option<Duration>,
    was_full: bool,
    /// What each output had done when it was last seen to move, and when that was.
    moves: HashMap<String, ((u64, u64), Instant)>,
}

impl Daemon<'_> {
    /// Takes a configuration into use.
    async fn begin(&mut self, settings: Settings) -> Result<Generation> {
        let sites = &settings.config.sites;
        let interval = settings.config.collect.interval;
        let plan = sites.iter().map(|site| {
            let name: Arc<str> = site.name.as_str().into();
            (name, site.interval.unwrap_or(interval))
        });
        let plan: Vec<_> = plan.collect();
        {
            let mut known = self.watch.known();
            let mut before = std::mem::take(&mut known.sites);
            known.sites = plan
                .iter()
                .map(|(name, _)| {
                    let status: SiteStatus = before.remove(name).unwrap_or_default();
                    (Arc::clone(name), status)
                })
                .collect();
        }
        self.schedule.set_places(settings.config.collect.passes);
        self.schedule.set_sites(plan, self.watch.now());
        let generation = Generation::begin(settings, self.spool.clone(), &self.watch).await?;
        {
            let mut known = self.watch.known();
            for (name, status) in &mut known.sites {
                status.schedule = self.schedule.site(name);
            }
            known.outputs = Some(generation.outputs.clone());
            known.phase = Phase::Ready;
            known.refused = None;
        }
        self.moves.clear();
        self.systemd.status(self.status());
        systemd::ready();
        tracing::info!(
            sites = generation.settings.config.sites.len(),
            outputs = generation.settings.config.outputs.len(),
            "collecting as {} says",
            generation.settings.config_file.display()
        );
        Ok(generation)
    }

    async fn work(
        &mut self,
        mut generation: Generation,
        signals: &mut Signals,
        mut checks: mpsc::Receiver<Check>,
    ) -> Result<()> {
        let done = loop {
            self.begin_passes(&mut generation);
            self.say_whether_full(&generation);
            self.systemd.status(self.status());
            let due = self.due.map(|due| self.watch.began() + due);
            let wake = [due, self.systemd.due()].into_iter().flatten().min();
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::End => break Ok(()),
                    Signal::Reload => generation = self.reload(generation).await?,
                },
                Some(ended) = self.passes.join_next_with_id() => {
                    if let Err(error) = self.pass_ended(ended, &mut generation) {
                        break Err(error);
                    }
                }
                error = generation.broken() => return Err(error),
                Some(check) = checks.recv() => {
                    if let Err(error) = self.probe().await {
                        break Err(error);
                    }
                    // Whoever asked may have gone.
                    let _ = check.send(());
                }
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    if self.systemd.due().is_some_and(|due| due <= Instant::now()) {
                        if let Err(error) = self.probe().await {
                            break Err(error);
                        }
                        if self.outputs_move(&generation) {
                            self.systemd.feed();
                        } else {
                            self.systemd.starve();
                        }
                    }
                }
            }
        };
        self.watch.known().phase = Phase::Stopping;
        systemd::stopping();
        tracing::info!("ending: what is not done is left to the next start");
        let ended = self.halt(generation).await;
        done.and(ended)
    }

    /// Ends the passes where they are, and the outputs after the batch in hand.
    async fn halt(&mut self, generation: Generation) -> Result<()> {
        self.passes.shutdown().await;
        for name in std::mem::take(&mut self.under_way).into_values() {
            self.watch.note(&name, |status| status.since = None);
        }
        generation.end().await
    }

    /// Reads the configuration again. One that is wrong changes nothing.
    async fn reload(&mut self, generation: Generation) -> Result<Generation> {
        systemd::reloading();
        let settings = match generation.settings.read_again(self.args) {
            Ok(settings) => settings,
            Err(error) => {
                tracing::error!(
                    remedy = error.remedy(),
                    "{}; the configuration in use is still the one before",
                    error.chain()
                );
                self.watch.known().refused = Some(LastError::of(&error));
                systemd::ready();
                return Ok(generation);
            }
        };
        self.halt(generation).await?;
        self.begin(settings).await
    }

    /// Begins every pass that is due.
    fn begin_passes(&mut self, generation: &mut Generation) {
        self.due = loop {
            match self.schedule.next(self.watch.now()) {
                Next::Begin(name) => self.begin_pass(&name, generation),
                Next::Sleep(until) => break Some(until),
                Next::Nothing => break None,
            }
        };
    }

    fn begin_pass(&mut self, name: &Arc<str>, generation: &mut Generation) {
        let settings = Arc::clone(&generation.settings);
        let outputs = generation.outputs.clone();
        let Some(slot) = generation.slot(name, &self.watch) else {
            return;
        };
        let Some((pace, http)) = slot.gate.clone() else {
            return;
        };
        let closed_until = pace.closed_until();
        if closed_until > self.watch.now() {
            self.schedule.postpone(name, closed_until);
        } else {
            let pass = Pass {
                name: Arc::clone(name),
                config: Arc::clone(&slot.config),
                site: slot.site.take(),
                http,
                pace,
                outputs,
                options: settings.pass_options(),
                found: PassSummary::default(),
                settings,
                watch: self.watch.clone(),
            };
            let id = self.passes.spawn(pass.run()).id();
            self.under_way.insert(id, Arc::clone(name));
            self.watch
                .note(name, |status| status.since = Some(SystemRuntime.now()));
        }
        let schedule = self.schedule.site(name);
        self.watch.note(name, |status| status.schedule = schedule);
    }

    /// Notes how a pass ended, and says so.
    ///
    /// # Errors
    /// A failure of what all sites share.
    fn pass_ended(
        &mut self,
        ended: Result<(Id, Ended), JoinError>,
        generation: &mut Generation,
    ) -> Result<()> {
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, Some(ended)),
            Err(error) => {
                tracing::error!("a pass broke off: {error}");
                (error.id(), None)
            }
        };
        let Some(name) = self.under_way.remove(&id) else {
            return Ok(());
        };
        let Some(ended) = ended else {
            let not_before = Duration::ZERO;
            self.settle(&name, End::Failed { not_before }, |_| {});
            return Ok(());
        };
        generation.keep(&name, ended.site);
        let error = ended.result.as_ref().err().map(|failure| &failure.error);
        let (dir, now) = (&generation.settings.state_dir, SystemRuntime.now());
        // For `status`, which is another process.
        LastPass::note(dir, &name, now, &ended.found, error);
        match ended.result {
            Ok(()) => {
                say_done(&name, &ended.found, ended.requests, ended.took);
                self.settle(&name, End::Done, |status| {
                    status.last_success = Some(SystemRuntime.now());
                    status.last_error = None;
                });
            }
            Err(Failure {
                error,
                is_ours: true,
            }) => return Err(error),
            Err(Failure { error, .. }) => {
                let end = match error.kind() {
                    ErrorKind::SpoolFull => End::Cut,
                    _ if error.is_credentials() => End::Refused,
                    _ => End::Failed {
                        not_before: ended.closed_until,
                    },
                };
                let last = LastError::of(&error);
                self.settle(&name, end, |status| status.last_error = Some(last));
                self.say_failed(&name, &error);
            }
        }
        Ok(())
    }

    fn settle(&mut self, name: &str, end: End, change: impl FnOnce(&mut SiteStatus)) {
        let now = self.watch.now();
        self.schedule.ended(name, end, now, SystemRuntime.random());
        let schedule = self.schedule.site(name);
        self.watch.note(name, |status| {
            change(status);
            status.since = None;
            status.schedule = schedule;
        });
    }

    fn say_failed(&self, name: &str, error: &Error) {
        let schedule = self.schedule.site(name);
        let health = schedule.map_or(Health::New, |schedule| schedule.health);
        let due = schedule.and_then(|schedule| schedule.due);
        let again = due.unwrap_or_default().saturating_sub(self.watch.now());
        let then = if health.is_quarantined() {
            "it is suspended and tried only now and then until a person has acted; SIGHUP has it tried \
             at once"
        } else {
            "it is tried again"
        };
        tracing::warn!(
            site = name,
            kind = ?error.kind(),
            again_in_seconds = again.as_secs(),
            remedy = error.remedy(),
            "{}; {then}",
            error.chain()
        );
    }

    fn say_whether_full(&mut self, generation: &Generation) {
        let is_full = generation.outputs.is_full();
        if is_full && !self.was_full {
            tracing::warn!(
                "as much waits for outputs as may: nothing more is read until they take some of it"
            );
        } else if self.was_full && !is_full {
            tracing::info!("outputs have taken what waited: reading goes on");
        }
        self.was_full = is_full;
    }

    /// Makes sure that the spool answers; a disk that hangs holds the loop here.
    async fn probe(&self) -> Result<()> {
        self.spool.site_at("").await.map(drop)
    }

    /// Whether no output is stuck: each has failed, has nothing to do, or has done something lately.
    fn outputs_move(&mut self, generation: &Generation) -> bool {
        let now = Instant::now();
        generation.outputs.progress.outputs().iter().all(|output| {
            let counters = &output.counters;
            let done = (counters.records.get(), counters.failures.get());
            let last = self
                .moves
                .entry(output.name.to_string())
                .or_insert((done, now));
            if last.0 != done || !output.is_at_work {
                *last = (done, now);
            }
            now.saturating_duration_since(last.1) < STUCK
        })
    }

    /// How all of it stands, in a line.
    fn status(&self) -> String {
        let known = self.watch.known();
        let healths = known
            .sites
            .iter()
            .map(|(name, status)| (name, status.health()));
        let healths: Vec<_> = healths.collect();
        let count = |is: fn(Health) -> bool| healths.iter().filter(|(_, it)| is(*it)).count();
        let mut parts = vec![format!(
            "{} sites: {} healthy",
            healths.len(),
            count(|health| health == Health::Well)
        )];
        let new = count(|health| health == Health::New);
        if new > 0 {
            parts.push(format!("{new} not read yet"));
        }
        let failing = count(|it| matches!(it, Health::Failing { .. }) && !it.is_quarantined());
        if failing > 0 {
            parts.push(format!("{failing} failing"));
        }
        let quarantined = healths.iter().filter(|(_, it)| it.is_quarantined());
        let quarantined: Vec<&str> = quarantined.map(|(name, _)| &***name).collect();
        if !quarantined.is_empty() {
            let named = quarantined[..quarantined.len().min(5)].join(", ");
            let more = if quarantined.len() > 5 { ", …" } else { "" };
            let count = quarantined.len();
            parts.push(format!("{count} suspended ({named}{more})"));
        }
        if self.was_full {
            parts.push("the spool is full".to_owned());
        }
        if known.refused.is_some() {
            parts.push("the configuration that was read last is refused".to_owned());
        }
        parts.join(", ")
    }
}

fn say_done(name: &str, found: &PassSummary, requests: u64, took: Duration) {
    let watermark = found.watermark.map(|at| at.to_string());
    tracing::info!(
        site = name,
        records = found.new,
        duplicates = found.duplicates,
        late = found.late,
        requests,
        milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        watermark = watermark.as_deref().unwrap_or("none"),
        "pass done: {} new records",
        found.new
    );
}

fn panicked(error: JoinError) -> Error {
    let message = "opening the spool panicked";
    let remedy = "This is a bug of confluence-audit; please report it with its message.";
    Error::new(ErrorKind::Internal, message, remedy).with_source(error)
}
