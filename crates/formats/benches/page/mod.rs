//! The page that is measured.

use bytes::Bytes;
use confluence_audit_sim::{Sim, SimConfig};

/// A page of a simulated site, the same in every run.
#[expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]
pub(crate) fn page() -> Bytes {
    let newest = 1_750_000_000_000;
    let site = Sim::start(SimConfig {
        oldest: Some(newest - 100_000_000),
        newest: Some(newest),
        ..SimConfig::default()
    });
    let lines: Vec<String> = site.unwrap().truth().collect();
    format!(
        r#"{{"results":[{}],"start":0,"limit":1000,"size":1000}}"#,
        lines.join(",")
    )
    .into()
}
