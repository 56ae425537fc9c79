//! Attempts of requests by the status of their answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use confluence_audit_core::Gate;

/// Lets all requests pass, and counts them by status; 0 is no answer.
#[derive(Debug, Default)]
pub struct Requests(Mutex<BTreeMap<u16, u64>>);

impl Requests {
    /// What was counted so far.
    pub fn by_status(&self) -> BTreeMap<u16, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[async_trait]
impl Gate for Requests {
    async fn pass(&self) {}

    fn answered(&self, status: Option<u16>, _: Option<Duration>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(status.unwrap_or(0)).or_default() += 1;
    }
}
