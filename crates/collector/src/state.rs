//! What is kept between runs beside the spool: where it is, its lock, and how the last pass ended.

mod dir;
mod last_pass;
mod lock;

pub use self::dir::default_state_dir;
pub use self::last_pass::{LastError, LastPass};
pub use self::lock::Lock;
