//! Values as people write them: durations, times and sizes.

mod size;
mod when;

pub use self::size::{parse_size, show_size};
pub use self::when::{ParseWhenError, When, parse_duration};
