//! Formats of an audit record for SIEMs: pure functions from one record to one line of JSON, ECS,
//! OCSF, CEF or CSV.
//!
//! | format | for | follows |
//! |---|---|---|
//! | [`raw`] | readers of what a script with `jq` wrote | Confluence Cloud's own form |
//! | [`flat`] | readers that know no nesting | |
//! | [`ecs`] | Elasticsearch, `OpenSearch` | ECS 8.11, as Elastic's own integration |
//! | [`ocsf`] | Amazon Security Lake and others | OCSF 1.8.0 |
//! | [`cef`] | `ArcSight`, Microsoft Sentinel, `QRadar` | CEF 0 |
//! | [`csv`] | spreadsheets, `DuckDB` | RFC 4180 |
//!
//! Every function is total: whatever the record is, there is a line, and [`Line::fits`] says
//! whether the record could be mapped. The same record with the same [`Context`] is the same
//! line, always.
//!
//! ```
//! use confluence_audit_core::RawRecord;
//! use confluence_audit_formats::{Context, Format, line};
//!
//! let record = RawRecord::parse(r#"{"creationDate":1643097111962,"summary":404}"#)?;
//! let context = Context::new("acme", "1324a887-45db-1bf4-1e99-ef0ff456d421", &record);
//! let line = line(Format::Ecs, &record, &context);
//! assert!(!line.fits, "a summary is a text");
//! # Ok::<(), confluence_audit_core::Error>(())
//! ```

pub mod cef;
mod context;
pub mod csv;
pub mod ecs;
mod event;
pub mod flat;
mod format;
mod json;
mod line;
mod meaning;
pub mod ocsf;
pub mod raw;
mod text;

pub use context::{Context, EventId};
pub use format::{Format, UnknownFormat, line};
pub use line::Line;
