//! The outputs at services that are not ours: two that speak Elasticsearch's language, each by
//! people of its own, and the published types of OpenTelemetry in another language, over TLS. What
//! cannot be installed is named, and the rest goes on.

mod index;
mod otel;
mod parts;

use crate::Result;
use crate::build::{Profile, build};

/// Builds the program, installs the services, and delivers to each.
pub(crate) fn run() -> Result {
    let program = build(&["confluence-audit-cli"], Profile::Debug)?.join("confluence-audit");
    let parts = match parts::install() {
        Ok(parts) => parts,
        Err(error) => {
            println!("skipped: {error}");
            return Ok(());
        }
    };
    for engine in index::ENGINES {
        index::run(engine, &program, &parts)?;
    }
    otel::run(&program, &parts)
}
