//! Log lines: with fields of their own in systemd's journal, as text for people, as JSON on request.
//!
//! All programs log alike. Warnings and errors that say the same of the same site or output again
//! and again are said once in ten minutes, with how often: a service that is down for a night fills
//! no journal.

mod journal;
mod repeats;

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::repeats::Repeats;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people, to standard error.
    Text,
    /// One JSON object a line, to standard error.
    Json,
}

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Nothing.
    Off,
    /// What needs somebody's eye.
    Warnings,
    /// And what is done, a line for each pass.
    Passes,
    /// And how it is done.
    Details,
    /// And what the libraries do.
    Everything,
}

impl Level {
    fn filter(self) -> EnvFilter {
        let text = match self {
            Self::Off => "off",
            Self::Warnings => "warn",
            Self::Passes => {
                "warn,confluence_auditd=info,confluence_audit=info,confluence_audit_core=info,\
                 confluence_audit_collector=info"
            }
            Self::Details => {
                "warn,confluence_auditd=debug,confluence_audit=debug,confluence_audit_core=debug,\
                 confluence_audit_collector=debug"
            }
            Self::Everything => "debug",
        };
        EnvFilter::new(text)
    }
}

/// Starts logging for the program of this name. Where no `form` is asked for and systemd reads
/// standard error, lines go to its journal, with their fields (`SITE=`, `RECORDS=`); otherwise they
/// are text. `RUST_LOG` beats `level`.
pub fn start(program: &str, form: Option<Form>, level: Level) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| level.filter());
    let registry = tracing_subscriber::registry().with(filter);
    let journal = form.is_none().then(|| journal::layer(program)).flatten();
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    match (journal, form) {
        (Some(journal), _) => registry.with(journal).with(Repeats::default()).init(),
        (None, Some(Form::Json)) => registry.with(lines.json()).with(Repeats::default()).init(),
        (None, _) => {
            let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let lines = lines.with_ansi(colour).with_target(false);
            registry.with(lines).with(Repeats::default()).init();
        }
    }
}
