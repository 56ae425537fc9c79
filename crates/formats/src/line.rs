//! A record as one line, and whether it could be mapped.

use bytes::Bytes;

/// A record as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The line, without a line break at its end, in UTF-8.
    pub bytes: Bytes,
    /// Whether the record could be mapped to the format. One that could not stands whole in the
    /// line, as the site wrote it, with the reason: a mapping error.
    pub fits: bool,
}

impl Line {
    pub(crate) fn mapped(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { bytes, fits: true }
    }

    /// The line of a mapping error: the record whole, and why.
    pub(crate) fn mapping_error(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { bytes, fits: false }
    }
}
