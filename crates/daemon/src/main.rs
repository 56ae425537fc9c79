//! `confluence-auditd`: the audit logs of many Confluence Cloud sites, every record once, for as
//! long as the host runs.
//!
//! `daemon.rs` is the loop: it asks the schedule what is due, begins passes (`pass.rs`), hears how
//! they ended, and listens to signals and to systemd (`systemd.rs`). What belongs to one reading of
//! the configuration is a `generation.rs`. What people and monitors may see is kept in `watch.rs`
//! and shown by `server.rs`.

mod args;
mod daemon;
mod generation;
mod listen;
mod liveness;
mod outputs;
mod page;
mod pass;
mod server;
mod settings;
mod signals;
mod systemd;
mod view;
mod watch;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use confluence_audit_collector::credentials::secret;
use confluence_audit_collector::state::Lock;
use confluence_audit_collector::{Error, Result, report};

use crate::args::{Args, PROGRAM};
use crate::settings::Settings;

/// Two threads are enough for what waits for the network most of the time; what may block, such as
/// the spool and looking up names, has threads of its own that come and go.
const WORKERS: usize = 2;
const BLOCKING: usize = 64;

/// What is being written when the program ends has so long to reach the disk.
const LAST_WRITES: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    secret::forbid_core_dumps();
    let args = match Args::read() {
        Ok(args) => args,
        Err(code) => return code,
    };
    args.start_logging();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nowhere left to complain.
            let _ = writeln!(io::stderr(), "{}", report(PROGRAM, &error, args.form()));
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let settings = Settings::read(args)?;
    // Until nothing of this program writes any more.
    let lock = Lock::acquire(&settings.state_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING)
        .enable_all()
        .build()
        .map_err(Error::not_started)?;
    let done = runtime.block_on(daemon::run(args, settings, lock.dir()));
    runtime.shutdown_timeout(LAST_WRITES);
    done
}
