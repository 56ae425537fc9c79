//! What the collector promises: every record of a Confluence site's audit log, once, in every
//! output, whatever fails in between.
//!
//! A record's way leads through the [`spool`], where it is committed together with everything that
//! remembers it, to each [`output`] at its own pace. [`config`] says which sites and outputs there
//! are, [`secret`] and [`token_file`] read their credentials, and [`Lock`] keeps a second collector away.

mod collect;
pub mod config;
mod connect;
pub mod delivery;
mod error;
mod export;
mod hours;
mod last_pass;
#[path = "../../core/src/read/dedup.rs"]
mod ledger;
mod local_disk;
mod lock;
pub mod logging;
pub mod metrics;
pub mod output;
mod pass;
#[path = "../../core/src/read/reader.rs"]
mod reader;
#[path = "../../core/src/read/lookback.rs"]
mod reread;
mod room;
pub mod schedule;
pub mod secret;
mod site_id;
mod size;
#[path = "../../core/src/read/window_read.rs"]
mod slice;
pub mod spool;
mod state_dir;
mod target;
pub mod token_file;
pub mod verify;
#[path = "../../core/src/read/time_pager.rs"]
mod walk;
mod when;
#[path = "../../core/src/read/window.rs"]
mod window;

pub use collect::{Collecting, collect, count, read};
pub use config::Config;
pub use connect::{
    Site, api, auth, authenticator, connect, connect_known, forget_if_wrong, remember,
};
pub use error::{Error, ErrorKind, Result};
pub use export::{Export, export};
pub use hours::Hours;
pub use last_pass::{LastError, LastPass};
pub use lock::Lock;
pub use pass::Found;
pub use reread::Reread;
pub use site_id::SiteId;
pub use size::{parse_size, show_size};
pub use state_dir::default_state_dir;
pub use target::{Surroundings, Target};
pub use token_file::TokenFile;
pub use when::{ParseWhenError, When, parse_duration};
