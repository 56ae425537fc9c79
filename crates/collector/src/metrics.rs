//! What operators watch, as text that Prometheus and its kin read.
//!
//! [`Counters`] are registered once for the life of the process. [`Figures`] are all metrics at one
//! instant; the daemon serves them, and a single run writes them into a file for the textfile
//! collector of `node_exporter`. There are two dialects: the classic one is all that the textfile
//! collector and `promtool` read, and `OpenMetrics` is what a newer server asks for.

mod counters;
mod figures;
mod hourly;
mod lateness;
mod text;
mod write;

pub use self::counters::{Counter, Counters, OutputCounters, SiteCounters};
pub use self::figures::{Figures, OutputFigures, SiteFigures};
pub use self::hourly::HourlyCounts;
pub use self::lateness::Lateness;
pub use self::text::Dialect;
pub use self::write::write;

#[cfg(test)]
mod tests;
