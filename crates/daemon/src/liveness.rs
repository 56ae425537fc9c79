//! Liveness check: whoever asks whether the daemon's loop moves is answered by the loop itself.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// How long the loop may take to answer before it counts as stuck.
const MOVES_WITHIN: Duration = Duration::from_secs(5);

/// So many checks wait for the loop at a time; more wait to be asked.
const WAITING: usize = 8;

/// A check that waits for the loop's answer.
pub(crate) type Check = oneshot::Sender<()>;

/// Asks the loop. Clones ask the same one.
#[derive(Clone)]
pub(crate) struct Liveness(mpsc::Sender<Check>);

/// What asks, and what the loop answers to.
pub(crate) fn channel() -> (Liveness, mpsc::Receiver<Check>) {
    let (asking, checks) = mpsc::channel(WAITING);
    (Liveness(asking), checks)
}

impl Liveness {
    /// Whether the loop answers in time.
    pub(crate) async fn check(&self) -> bool {
        let (check, answered) = oneshot::channel();
        let asking = async { self.0.send(check).await.is_ok() && answered.await.is_ok() };
        timeout(MOVES_WITHIN, asking).await.unwrap_or(false)
    }
}
