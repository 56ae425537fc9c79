//! `confluence-audit-oauth-setup`: asks a person for consent, and writes the file that keeps it.

mod answer;
mod args;
mod authorization;
mod browser;
mod choice;
mod listener;
mod page;
mod redirect;
mod remedy;
mod report;
mod setup;
mod terminal;

use std::process::ExitCode;

use confluence_audit_collector::credentials::secret;
use confluence_audit_collector::logging::Form;
use confluence_audit_collector::{Error, Result, report};

use crate::args::Args;
use crate::terminal::say;

fn main() -> ExitCode {
    secret::forbid_core_dumps();
    let args = match Args::read() {
        Ok(args) => args,
        Err(code) => return code,
    };
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_target(false)
        .with_writer(std::io::stderr)
        .init();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&report("confluence-audit-oauth-setup", &error, Form::Text));
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .map_err(Error::not_started)?
        .block_on(setup::run(args))
}
