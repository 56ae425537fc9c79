//! JSON as bytes: reading records without building values.

pub(crate) mod canonical;
pub(crate) mod decode;
pub(crate) mod scan;
pub(crate) mod strings;
