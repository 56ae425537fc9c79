//! JSON as bytes, without building values: the hot path (411 MB/s a core of the 600 wanted).
//!
//! Written by hand, and kept in one folder, for that figure: `cargo bench --package
//! confluence-audit-formats` on an AMD EPYC in November 2026.

pub(crate) mod canonical;
pub(crate) mod decode;
pub(crate) mod scan;
pub(crate) mod strings;
