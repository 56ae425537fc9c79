//! What the collector promises: every record of a Confluence site's audit log, once, in every
//! output, whatever fails in between.
//!
//! A [`pass`] reads what is new at a [`site`] and commits it to the [`spool`] together with
//! everything that remembers it; from there [`delivery`] gives it to each [`output`] at its own
//! pace. [`config`] says which sites and outputs there are, [`credentials`] reads their secrets,
//! and [`state::Lock`] keeps a second collector away.

pub mod config;
pub mod credentials;
pub mod delivery;
pub mod env;
mod error;
pub mod export;
pub mod fs;
pub mod http_server;
pub mod logging;
pub mod metrics;
pub mod output;
pub mod pass;
pub mod recount;
pub mod schedule;
pub mod site;
pub mod spool;
pub mod state;
pub mod verify;

pub use config::Config;
pub use error::{Error, ErrorKind, Result};
pub use site::SiteId;
