//! `confluence-audit`: the audit log of a Confluence Cloud site, every record once, into a file.

mod args;
mod check;
mod export;
mod fetch;
mod generate;
mod logging;
mod options;
mod progress;
mod report;
mod settings;
mod sites;
mod state;
mod status;
mod verify;

use std::process::ExitCode;

use confluence_audit_collector::Error;
use confluence_audit_collector::credentials::secret;

use args::{Args, Command};
use report::Failure;

fn main() -> ExitCode {
    secret::forbid_core_dumps();
    let args = match Args::read() {
        Ok(args) => args,
        Err(code) => return code,
    };
    logging::start(args.logging);
    let form = args.logging.form();
    match run(args) {
        Ok(()) | Err(Failure::BrokenPipe) => ExitCode::SUCCESS,
        Err(Failure::Said(code)) => ExitCode::from(code),
        Err(Failure::Usage(message)) => Args::mistake(&message),
        Err(Failure::Error(error)) => {
            report::print_error(&error, form);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(args: Args) -> Result<(), Failure> {
    // These read ahead while this one is busy with what was read: one asks, the other names what
    // came.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // One for the spool and one for files: each thread more keeps memory of its own.
        .max_blocking_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.map_err(Error::not_started)?;
    runtime.block_on(async {
        match args.command {
            Command::Fetch(fetch) => fetch::run(&args.site, fetch, args.logging.form()).await,
            Command::Export(export) => export::run(&args.site, export).await,
            Command::Verify(verify) => verify::run(&args.site, verify).await,
            Command::State(state) => state::run(&args.site, state).await,
            Command::Check(check) => check::run(&args.site, check).await,
            Command::Status { json } => status::run(&args.site, json).await,
            Command::Sites => sites::run(&args.site).await,
            Command::Generate(generate) => generate::run(&args.site, generate),
        }
    })
}
