//! Progress on a terminal: a line that moves; nothing where nobody watches.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use confluence_audit_collector::pass::PassSummary;
use confluence_audit_core::printable;
use indicatif::{ProgressBar, ProgressStyle};

/// A run that ends sooner shows none.
const AFTER: Duration = Duration::from_millis(1500);

/// The progress of one site.
#[derive(Debug)]
pub(crate) struct Progress {
    site: String,
    began: Instant,
    watched: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(site: &str) -> Self {
        // What is logged would be torn by a moving line.
        let silent = tracing::level_filters::LevelFilter::current() < tracing::Level::WARN;
        let verbose = tracing::level_filters::LevelFilter::current() > tracing::Level::WARN;
        let watched = std::io::stderr().is_terminal() && !silent && !verbose;
        Self {
            site: printable(site, 60),
            began: Instant::now(),
            watched,
            bar: None,
        }
    }

    /// Shows how far it is.
    pub(crate) fn show(&mut self, found: &PassSummary) {
        if !self.watched || self.began.elapsed() < AFTER {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let until = found
            .watermark
            .map(|at| format!(", up to {at}"))
            .unwrap_or_default();
        bar.set_message(format!("{}: {} records{until}", self.site, found.new));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
