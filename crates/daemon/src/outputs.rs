//! Where records go: the spool, and how far its outputs are.

use confluence_audit_collector::delivery::Progress;
use confluence_audit_collector::spool::SqliteSpool;

/// What passes, and those who look, need of the spool and the outputs. Clones are the same.
#[derive(Clone)]
pub(crate) struct Outputs {
    pub(crate) spool: SqliteSpool,
    pub(crate) progress: Progress,
    /// How many bytes may wait.
    pub(crate) limit: u64,
}

impl Outputs {
    /// Whether nothing more is read until outputs take what waits.
    pub(crate) fn is_full(&self) -> bool {
        let waiting = self.progress.waiting();
        waiting.is_some_and(|waiting| waiting >= self.limit)
    }
}
