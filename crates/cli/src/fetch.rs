//! `fetch`: one pass over each site, under the lock.

mod metrics;

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ValueEnum;
use confluence_audit_collector::Error;
use confluence_audit_collector::config::{Format, OutputConfig, StdoutConfig, When};
use confluence_audit_collector::logging::Form;
use confluence_audit_collector::pass::{PassOptions, PassSummary};
use confluence_audit_collector::run::{Delivered, RunSummary, dry_run, run as collect};
use confluence_audit_core::printable;
use tokio::signal::unix::{SignalKind, signal};

use crate::options::{self, SiteArgs};
use crate::progress::Progress;
use crate::report::{self, Failure};
use crate::settings;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FetchArgs {
    /// Where the first run begins: RFC 3339, a date, epoch milliseconds, or an age such as `7d`.
    /// Without it everything that the site retains is read; later runs go on where the last ended
    #[arg(long, value_name = "T", value_parser = options::when)]
    pub(crate) since: Option<When>,
    /// The file to append to, in place of the configured outputs; `-` is standard output, and the
    /// summary then goes to standard error [default: flattened.json]
    #[arg(long, value_name = "F")]
    pub(crate) output: Option<PathBuf>,
    /// How a record is written
    #[arg(long, value_name = "X", value_parser = options::format_name(), default_value = "raw")]
    #[arg(requires = "output")]
    pub(crate) format: Format,
    /// How many parts of the log are read at the same time [default: 1, or as configured]
    #[arg(long, value_name = "N", value_parser = options::jobs)]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Write what the run did for the textfile collector of `node_exporter`, added to what the file
    /// says of the runs before
    #[arg(long, value_name = "F", conflicts_with = "dry_run")]
    pub(crate) metrics_file: Option<PathBuf>,
    /// Read and count what a run would deliver, and write nothing: no state, no lock, no output
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The summary's form: a last line for people, or one JSON object
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(crate) summary: SummaryFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SummaryFormat {
    /// `Flattened N records into PATH`
    Text,
    /// One object
    Json,
}

pub(crate) async fn run(site_args: &SiteArgs, args: FetchArgs, form: Form) -> Result<(), Failure> {
    let setup = settings::read(site_args)?;
    let given = args.output.as_deref().map(settings::output).transpose()?;
    let given = given.map(|output| OutputConfig {
        format: args.format,
        ..output
    });
    let outputs = settings::outputs(&setup.config, given)?;
    let now = setup.runtime().now();
    let mut options = PassOptions::of(&setup.config, now);
    options.start = args.since.map(|since| since.at(now)).or(options.start);
    options.jobs = args.jobs.unwrap_or(options.jobs);
    // Who rotates a file tells its writer so by this signal, which would end the run. Each batch
    // looks where the output's path leads now, so there is nothing else to do.
    let _hangups = signal(SignalKind::hangup()).map_err(Error::not_started)?;
    let (summary, failures) = if args.dry_run {
        dry_run(&setup, &outputs, &options, watch).await?
    } else {
        let mut run = collect(&setup, &outputs, &options, watch).await?;
        if let Some(file) = &args.metrics_file {
            let figures = metrics::of_run(&run).await?;
            if let Err(error) = metrics::write(&figures, file) {
                run.add_failure(error);
            }
        }
        run.end()
    };
    print_summary(&summary, &failures, &outputs, args.summary)?;
    for failure in &failures {
        report::print_error(failure, form);
    }
    match failures.first() {
        Some(first) => Err(Failure::Said(first.exit_code())),
        None => Ok(()),
    }
}

/// Shows how far a site is read.
fn watch(site: &str) -> impl FnMut(&PassSummary) + use<> {
    let mut progress = Progress::new(site);
    move |found| progress.show(found)
}

fn print_summary(
    summary: &RunSummary,
    failures: &[Error],
    outputs: &[OutputConfig],
    format: SummaryFormat,
) -> Result<(), Failure> {
    let is_complete = failures.is_empty();
    // Where records go, nothing else does.
    let is_stdout = |output: &OutputConfig| output.kind_as::<StdoutConfig>().is_some();
    if outputs.iter().any(is_stdout) {
        // There is nowhere left to complain.
        let _ = print(summary, io::stderr(), format, is_complete);
        return Ok(());
    }
    print(summary, io::stdout().lock(), format, is_complete).map_err(Failure::stdout)
}

fn print(
    summary: &RunSummary,
    mut out: impl Write,
    format: SummaryFormat,
    is_complete: bool,
) -> io::Result<()> {
    if format == SummaryFormat::Json {
        serde_json::to_writer(&mut out, summary)?;
        return writeln!(out);
    }
    // After a failure a line of nothing would say that all is well.
    let is_due = |output: &&Delivered| is_complete || output.records > 0;
    for Delivered { output, records } in summary.outputs.iter().filter(is_due) {
        let output = printable(output, 4096);
        if summary.dry_run {
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
