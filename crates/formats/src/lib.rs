//! One Confluence audit record in the words of a SIEM: a pure function from a record to the bytes
//! of one line, for those who read the log by other means too.
//!
//! There is one format so far, [`raw`].

pub mod raw;
