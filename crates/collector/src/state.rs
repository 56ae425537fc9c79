//! What is kept between runs beside the spool: where it is, and its lock.

mod dir;
mod lock;

pub use self::dir::default_state_dir;
pub use self::lock::Lock;
