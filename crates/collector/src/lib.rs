//! What the collector promises: every record of a Confluence site's audit log, once, in every
//! output, whatever fails in between.
//!
//! A [`pass`] reads what is new at a [`site`] and commits it to the [`spool`] together with
//! everything that remembers it; from there [`delivery`] gives it to each [`output`] at its own
//! pace. [`config`] says which sites and outputs there are, [`credentials`] reads their secrets,
//! and [`state::Lock`] keeps a second collector away.

pub mod check;
pub mod config;
pub mod credentials;
pub mod delivery;
pub mod env;
mod error;
pub mod export;
pub mod fs;
pub mod host;
pub mod http_server;
pub mod logging;
pub mod metrics;
pub mod output;
pub mod pass;
pub mod recount;
mod report;
pub mod run;
pub mod schedule;
mod setup;
pub mod site;
pub mod spool;
pub mod state;
pub mod status;
mod table;
mod value;
pub mod verify;

pub use config::Config;
pub use error::{Error, ErrorKind, Result};
pub use report::report;
pub use setup::Setup;
pub use site::SiteId;
