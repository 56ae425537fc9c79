//! What those who read logs and those who deliver tell each other while both go on.

use std::sync::Arc;

use confluence_audit_core::Timestamp;
use tokio::sync::watch;

use crate::output::OutputName;

/// Between the reading of logs and the outputs: says that more was committed, and shows how far
/// the outputs are. Clones are the same.
#[derive(Clone, Debug)]
pub struct Progress(Arc<watch::Sender<State>>);

/// What stands on the progress.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// How many commits were made.
    pub(super) commits: u64,
    /// How often outputs that failed were asked to try again.
    pub(super) asked: u64,
    /// Whether delivery goes on.
    pub(super) phase: Phase,
    pub(super) outputs: Vec<OutputStatus>,
    /// How many bytes wait for outputs at most: to measure it after each commit would cost too
    /// much. `None` until it has been measured.
    pub(super) waiting: Option<u64>,
}

/// How long delivery goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// More may come.
    #[default]
    Open,
    /// Until each output has all or has failed.
    Last,
    /// Until each output has finished the batch in hand.
    Stop,
}

/// How an output stands.
#[derive(Clone, Debug)]
pub struct OutputStatus {
    /// Which one.
    pub name: OutputName,
    /// Records that it has got since the program began.
    pub delivered: u64,
    /// Those of them that it refused for good.
    pub dead: u64,
    /// Those of them that did not fit its format and went out as the site wrote them.
    pub unfit: u64,
    /// How often it failed.
    pub failures: u64,
    /// What is wrong with it now, and what to do.
    pub failure: Option<Failed>,
    /// Something waits for it that it did not get.
    pub is_behind: bool,
    /// Since when; `None` until that was noticed.
    pub behind_since: Option<Timestamp>,
    /// It has not failed, and has not seen to all that was committed: it ought to move.
    pub is_at_work: bool,
    /// The number of commits that it has seen to.
    pub(super) reached: u64,
}

/// What is wrong with an output, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What happened, with its causes.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// It is not tried again by itself.
    pub(super) given_up: bool,
}

impl OutputStatus {
    pub(super) fn new(name: OutputName) -> Self {
        Self {
            name,
            delivered: 0,
            dead: 0,
            unfit: 0,
            failures: 0,
            failure: None,
            is_behind: true,
            behind_since: None,
            is_at_work: false,
            reached: 0,
        }
    }

    /// Nothing more comes of waiting for it.
    fn is_settled(&self, commits: u64) -> bool {
        match &self.failure {
            Some(failed) => failed.given_up,
            None => self.reached >= commits,
        }
    }
}

impl Progress {
    pub(super) fn new(outputs: Vec<OutputStatus>) -> Self {
        let (notes, _) = watch::channel(State {
            outputs,
            ..State::default()
        });
        Self(Arc::new(notes))
    }

    /// Says that so many bytes more were committed. Returns when it is worth while to read on: when at least one
    /// output has what was committed before this, or none is left that takes anything. So no more
    /// than two commits lie in the spool for nobody.
    pub async fn committed(&self, bytes: u64) {
        let mut now = 0;
        self.0.send_modify(|notes| {
            notes.waiting = notes.waiting.map(|waiting| waiting.saturating_add(bytes));
            notes.commits += 1;
            now = notes.commits;
        });
        self.wait_for(|notes| {
            let keeps_up = |output: &OutputStatus| output.reached + 1 >= now;
            let fails = |output: &OutputStatus| output.failure.is_some();
            notes.phase == Phase::Stop
                || notes.outputs.iter().any(keeps_up)
                || notes.outputs.iter().all(fails)
        })
        .await;
    }

    /// Has outputs that failed tried again, now.
    pub fn retry(&self) {
        self.0.send_modify(|notes| {
            notes.asked += 1;
            // They have to be waited for.
            for output in &mut notes.outputs {
                if let Some(failed) = &mut output.failure {
                    failed.given_up = false;
                }
            }
        });
    }

    /// Returns when each output has all that was committed or is given up on.
    pub async fn settled(&self) {
        self.wait_for(|notes| {
            let settled = |output: &OutputStatus| output.is_settled(notes.commits);
            notes.phase == Phase::Stop || notes.outputs.iter().all(settled)
        })
        .await;
    }

    /// Ends the delivery when each output has all that was committed or is given up on.
    pub fn finish(&self) {
        self.set_phase(Phase::Last);
    }

    /// Ends the delivery when each output has finished the batch in hand.
    pub fn stop(&self) {
        self.set_phase(Phase::Stop);
    }

    /// How each output stands, in their order.
    pub fn outputs(&self) -> Vec<OutputStatus> {
        let notes = self.0.borrow();
        let mut outputs = notes.outputs.clone();
        for output in &mut outputs {
            let has_seen_all = output.reached >= notes.commits;
            output.is_behind |= !has_seen_all;
            output.is_at_work = !has_seen_all && output.failure.is_none();
        }
        outputs
    }

    /// How many bytes wait for outputs at most, as far as that is known.
    pub fn waiting(&self) -> Option<u64> {
        self.0.borrow().waiting
    }

    /// State how many bytes wait, as it was measured.
    pub(crate) fn set_waiting(&self, bytes: u64) {
        self.0.send_modify(|notes| notes.waiting = Some(bytes));
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.0.send_modify(|notes| notes.phase = phase);
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }

    pub(super) fn note(&self, output: usize, change: impl FnOnce(&mut OutputStatus)) {
        self.0.send_modify(|notes| {
            if let Some(standing) = notes.outputs.get_mut(output) {
                change(standing);
            }
        });
    }

    async fn wait_for(&self, condition: impl Fn(&State) -> bool) {
        // It fails when the sender is gone, which is here.
        drop(self.subscribe().wait_for(condition).await);
    }
}
