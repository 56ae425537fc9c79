//! Exact reading of a log that moves while it is read.
//!
//! A [`Source`] gives pages of what lies between two instants. The [`Reader`] cuts a span of the
//! log into [windows](Window), oldest first, and reads each of them as a whole: by
//! [time](TimePager), or by [offset](read_by_offset) where the order does not allow it. What is new
//! in a window is the [difference of two multisets](difference); how much is read again because
//! records arrive late says the [`Lookback`].

mod dedup;
pub mod lookback;
mod offset;
mod reader;
mod source;
#[cfg(test)]
mod tests;
mod time_pager;
mod timed;
mod window;
mod window_read;

pub use self::dedup::{Counts, Difference, Fingerprinted, NewRecord, difference};
pub use self::lookback::Lookback;
pub use self::offset::read_by_offset;
pub use self::reader::Reader;
pub use self::source::{SiteLog, Source, SourcePage, SourcePages};
pub use self::time_pager::{TimePage, TimePager};
pub use self::timed::{FIRST_IMPOSSIBLE_TIME, TimedRecord, is_possible_time};
pub use self::window::Window;
pub use self::window_read::Complete;
