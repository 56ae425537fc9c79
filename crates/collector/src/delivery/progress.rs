//! Shared state of readers and outputs: what was committed, which sites were found, and how far
//! each output has come.

use std::sync::Arc;

use confluence_audit_core::Timestamp;
use tokio::sync::watch;

use super::SiteNames;
use crate::SiteId;
use crate::config::SiteConfig;
use crate::metrics::OutputCounters;
use crate::output::OutputName;

/// Between the reading of logs and the outputs: tells outputs that more was committed, and shows
/// how far they are. Clones are the same.
#[derive(Clone, Debug)]
pub struct Progress(Arc<watch::Sender<ProgressState>>);

/// What readers and outputs share.
#[derive(Clone, Debug, Default)]
pub(super) struct ProgressState {
    /// How often more was committed, or may have been.
    pub(super) commits: u64,
    /// How often outputs that failed were asked to try again.
    pub(super) retries: u64,
    /// Outputs finish the batch in hand, and no more.
    pub(super) is_stopped: bool,
    pub(super) outputs: Vec<OutputStatus>,
    /// How many bytes wait for outputs at most: to measure it after each commit would cost too
    /// much. `None` until it has been measured.
    pub(super) waiting: Option<u64>,
    /// The sites that were found.
    pub(super) sites: Arc<SiteNames>,
}

/// How far an output has come, and what is wrong with it.
#[derive(Clone, Debug)]
pub struct OutputStatus {
    /// Which one.
    pub name: OutputName,
    /// What people call it.
    pub display_name: String,
    /// What it has got since the program began, and how often it failed.
    pub counters: Arc<OutputCounters>,
    /// What is wrong with it now, and what to do.
    pub failure: Option<OutputFailure>,
    /// Something waits for it that it did not get.
    pub is_behind: bool,
    /// Since when; `None` until that was noticed.
    pub behind_since: Option<Timestamp>,
    /// It has not failed, and has not seen to all that was committed: it ought to move.
    pub is_at_work: bool,
    /// The number of commits that it has seen to.
    pub(super) reached: u64,
}

/// Why an output failed, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFailure {
    /// What happened, with its causes.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// It is not tried again by itself.
    pub is_final: bool,
}

impl OutputStatus {
    pub(super) fn new(
        name: OutputName,
        display_name: String,
        counters: Arc<OutputCounters>,
    ) -> Self {
        Self {
            name,
            display_name,
            counters,
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
            Some(failure) => failure.is_final,
            None => self.reached >= commits,
        }
    }
}

impl Progress {
    pub(super) fn new(outputs: Vec<OutputStatus>) -> Self {
        let (state, _) = watch::channel(ProgressState {
            outputs,
            ..ProgressState::default()
        });
        Self(Arc::new(state))
    }

    /// Reports that so many bytes more were committed. Returns when it is worth while to read on:
    /// when at least one output has what was committed before this, or none is left that takes
    /// anything. So no more than two commits lie in the spool for nobody.
    pub async fn committed(&self, bytes: u64) {
        let mut commits = 0;
        self.0.send_modify(|state| {
            state.waiting = state.waiting.map(|waiting| waiting.saturating_add(bytes));
            state.commits += 1;
            commits = state.commits;
        });
        self.wait_for(|state| {
            let keeps_up = |output: &OutputStatus| output.reached + 1 >= commits;
            let fails = |output: &OutputStatus| output.failure.is_some();
            state.is_stopped
                || state.outputs.iter().any(keeps_up)
                || state.outputs.iter().all(fails)
        })
        .await;
    }

    /// Reports a site's id. Called before anything is committed of it, so that outputs know whose
    /// its records are and what lines call it.
    pub fn site_found(&self, id: SiteId, site: &SiteConfig) {
        self.0.send_if_modified(|state| {
            let is_new = state.sites.id(&site.name) != Some(&id);
            if is_new {
                Arc::make_mut(&mut state.sites).add(id, site);
            }
            is_new
        });
    }

    /// Has outputs look for what they lack, whether or not more was committed.
    pub(super) fn look_again(&self) {
        self.0.send_modify(|state| state.commits += 1);
    }

    /// Has outputs that failed tried again, now.
    pub fn retry(&self) {
        self.0.send_modify(|state| {
            state.retries += 1;
            // They have to be waited for.
            for output in &mut state.outputs {
                if let Some(failure) = &mut output.failure {
                    failure.is_final = false;
                }
            }
        });
    }

    /// Returns when each output has all that was committed or is given up on.
    pub async fn settled(&self) {
        self.wait_for(|state| {
            let settled = |output: &OutputStatus| output.is_settled(state.commits);
            state.is_stopped || state.outputs.iter().all(settled)
        })
        .await;
    }

    /// Ends the delivery for good when each output has finished the batch in hand.
    pub fn stop(&self) {
        self.0.send_modify(|state| state.is_stopped = true);
    }

    /// How far each output is, in their order.
    pub fn outputs(&self) -> Vec<OutputStatus> {
        let state = self.0.borrow();
        let mut outputs = state.outputs.clone();
        for output in &mut outputs {
            let has_seen_all = output.reached >= state.commits;
            output.is_behind |= !has_seen_all;
            output.is_at_work = !has_seen_all && output.failure.is_none();
        }
        outputs
    }

    /// How many bytes wait for outputs at most, as far as that is known.
    pub fn waiting(&self) -> Option<u64> {
        self.0.borrow().waiting
    }

    /// Sets how many bytes wait, as it was measured.
    pub(super) fn set_waiting(&self, bytes: u64) {
        self.0.send_modify(|state| state.waiting = Some(bytes));
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<ProgressState> {
        self.0.subscribe()
    }

    /// Changes the status of one output.
    pub(super) fn update(&self, output: usize, change: impl FnOnce(&mut OutputStatus)) {
        self.0.send_modify(|state| {
            if let Some(status) = state.outputs.get_mut(output) {
                change(status);
            }
        });
    }

    async fn wait_for(&self, condition: impl Fn(&ProgressState) -> bool) {
        // It fails when the sender is gone, which is here.
        drop(self.subscribe().wait_for(condition).await);
    }
}
