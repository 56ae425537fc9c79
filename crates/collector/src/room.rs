//! The bound on what waits for outputs: when it is reached, collecting waits as well, aloud,
//! rather than drop records or fill the disk.

use crate::delivery::Delivery;
use crate::output::OutputName;
use crate::size::show_size;
use crate::spool::{Commit, Spool};
use crate::{Error, ErrorKind, Result};

/// How much room there is in the spool.
pub(crate) struct Room {
    limit: u64,
    /// What waits at most, in bytes: to measure it after each commit would cost too much.
    /// `None` until it has been measured.
    waiting: Option<u64>,
}

impl Room {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            waiting: None,
        }
    }

    /// Notes what is about to wait.
    pub(crate) fn fill(&mut self, commit: &Commit) {
        let bytes: usize = commit.records.iter().map(|record| record.line.len()).sum();
        self.waiting = self
            .waiting
            .map(|waiting| waiting.saturating_add(bytes as u64));
    }

    /// Makes sure that there is room, after a drain; where there is none, outputs that have failed
    /// are tried once more.
    ///
    /// # Errors
    /// [`SpoolFull`](ErrorKind::SpoolFull) when that was in vain, and what the spool can fail with.
    pub(crate) async fn make(&mut self, spool: &dyn Spool, delivery: &mut Delivery) -> Result<()> {
        if delivery.behind().next().is_none() {
            // Everything has gone out.
            self.waiting = Some(0);
            return Ok(());
        }
        if self.is_left(spool).await? {
            return Ok(());
        }
        delivery.retry(spool).await?;
        self.waiting = None;
        if self.is_left(spool).await? {
            return Ok(());
        }
        Err(self.full(delivery))
    }

    async fn is_left(&mut self, spool: &dyn Spool) -> Result<bool> {
        if self.waiting.is_none_or(|waiting| waiting >= self.limit) {
            self.waiting = Some(spool.depth().await?.bytes);
        }
        Ok(self.waiting.is_some_and(|waiting| waiting < self.limit))
    }

    fn full(&self, delivery: &Delivery) -> Error {
        let behind: Vec<&str> = delivery.behind().map(OutputName::as_str).collect();
        let behind = behind.join(", ");
        let waiting = show_size(self.waiting.unwrap_or_default());
        let limit = show_size(self.limit);
        tracing::warn!(
            output = %behind,
            waiting,
            limit,
            "the spool is full: collecting waits until the output takes what it lacks"
        );
        Error::new(
            ErrorKind::SpoolFull,
            format!("the spool is full: {waiting} wait for {behind}, and the limit is {limit}"),
            "Mend that output, or take it out of the configuration: the next run delivers what \
             waits and goes on reading where this one stopped. Nothing is lost for as long as the \
             site keeps its records; [state] spool_limit lets more of them wait here.",
        )
    }
}
