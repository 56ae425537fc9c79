//! What a run of `fetch` did, as its last words.

use std::io::Write;
use std::time::Duration;

use confluence_audit_collector::Error;
use confluence_audit_collector::pass::PassSummary;
use confluence_audit_core::{Http, printable};
use serde::Serialize;

use crate::args::SummaryFormat;

/// What a run did, or, where it is a dry one, would do.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    /// Records that were new, all sites together.
    records: u64,
    /// Requests made, retries included.
    requests: u64,
    retries: u64,
    /// Records that were read again and had been delivered.
    duplicates: u64,
    /// New records older than what had been read: they arrived late.
    late: u64,
    /// How late the latest of them was at least.
    late_by_ms: u64,
    rate_limited_ms: u64,
    elapsed_ms: u64,
    dry_run: bool,
    /// The first output.
    output: String,
    outputs: Vec<Delivered>,
    sites: Vec<SiteSummary>,
}

#[derive(Debug, Serialize)]
struct Delivered {
    output: String,
    /// Records that went into it in this run.
    records: u64,
}

#[derive(Debug, Serialize)]
struct SiteSummary {
    name: String,
    records: u64,
    duplicates: u64,
    late: u64,
    late_by_ms: u64,
    /// Everything up to it has been read.
    watermark: Option<String>,
    error: Option<String>,
}

impl Summary {
    pub(crate) fn new(dry_run: bool) -> Self {
        Self {
            dry_run,
            ..Self::default()
        }
    }

    pub(crate) fn add_site(&mut self, name: &str, found: &PassSummary, error: Option<&Error>) {
        self.records += found.new;
        self.duplicates += found.duplicates;
        self.late += found.late;
        let late_by_ms = millis(found.late_by);
        self.late_by_ms = self.late_by_ms.max(late_by_ms);
        self.sites.push(SiteSummary {
            name: name.to_owned(),
            records: found.new,
            duplicates: found.duplicates,
            late: found.late,
            late_by_ms,
            watermark: found.watermark.map(|at| at.to_string()),
            error: error.map(Error::chain),
        });
    }

    pub(crate) fn add_output(&mut self, output: String, records: u64) {
        if self.outputs.is_empty() {
            self.output.clone_from(&output);
        }
        self.outputs.push(Delivered { output, records });
    }

    pub(crate) fn add_requests<'a>(
        &mut self,
        lines: impl IntoIterator<Item = &'a Http>,
        elapsed: Duration,
    ) {
        for http in lines {
            let stats = http.stats();
            self.requests += stats.requests;
            self.retries += stats.retries;
            self.rate_limited_ms += millis(stats.rate_limited);
        }
        self.elapsed_ms = millis(elapsed);
    }

    /// Prints it to `out`; `complete` is whether nothing failed.
    pub(crate) fn print(
        &self,
        mut out: impl Write,
        format: SummaryFormat,
        complete: bool,
    ) -> std::io::Result<()> {
        if format == SummaryFormat::Json {
            serde_json::to_writer(&mut out, &self)?;
            return writeln!(out);
        }
        // After a failure a line of nothing would say that all is well.
        let said = |output: &&Delivered| complete || output.records > 0;
        for Delivered { output, records } in self.outputs.iter().filter(said) {
            let output = printable(output, 4096);
            if self.dry_run {
                writeln!(
                    out,
                    "Dry run: would flatten {records} records into {output}; nothing was written"
                )?;
            } else {
                writeln!(out, "Flattened {records} records into {output}")?;
            }
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
