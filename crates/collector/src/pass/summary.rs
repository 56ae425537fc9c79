//! What a pass has found.

use std::time::Duration;

use confluence_audit_core::Timestamp;

use crate::metrics::{HourlyCounts, Lateness};

/// What a pass has found so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassSummary {
    /// Records that were new.
    pub new: u64,
    /// Records that were read again and had been committed.
    pub duplicates: u64,
    /// New records older than the watermark at the beginning: they arrived late.
    pub late: u64,
    /// New records that tell no time, or one that cannot be.
    pub without_time: u64,
    /// How late the latest of them was at least: how far its time lies behind that watermark.
    pub late_by: Duration,
    /// How late each of them was.
    pub lateness: Lateness,
    /// The new ones of the last day, by the hour.
    pub hours: HourlyCounts,
    /// Everything up to this instant has been read.
    pub watermark: Option<Timestamp>,
}
