//! `csv`: comma-separated values after RFC 4180, each record on one line, for spreadsheets.
//!
//! | the record has | column |
//! |---|---|
//! | `creationDate` | `Date`, in RFC 3339 |
//! | `author.displayName` | `Author` |
//! | `remoteAddress` | `Remote address` |
//! | `category` | `Category` |
//! | `summary` | `Summary` |
//! | `affectedObject` | `Affected object`, `Affected object type` |
//! | `changedValues` | `Changed values`: `name: old -> new`, with `; ` between them |
//! | `associatedObjects` | `Associated objects`: `type name`, with `; ` between them |
//! | `description` | `Description` |
//! | `author.accountId` | `Account id` |
//! | | `Site`, `Site id` |
//! | | `Event id`: names the event among those of all sites |
//! | what does not fit | `Unfit record`: the record; `Reason`: why; else both are empty |
//!
//! The first eight columns are those of Confluence's own export. Every cell stands in quotes.
//! Control characters, line breaks among them, are written as `\n` or `\u{1b}`, and a cell that a
//! spreadsheet would take for a formula, because it begins with `=`, `+`, `-`, `@`, a tab or a
//! line break, has a `'` before it, as OWASP advises.
//!
//! ```
//! use confluence_audit_core::RawRecord;
//! use confluence_audit_formats::{Context, csv};
//!
//! let record = RawRecord::parse(
//!     r#"{"author":{"displayName":"=1+1"},"creationDate":1643097111962,"summary":"a \"b\""}"#,
//! )?;
//! let line = csv::line(&record, &Context::new("acme", "0a1b", &record));
//! let text = String::from_utf8_lossy(&line.bytes);
//! assert!(csv::HEADER.starts_with("Date,Author,Remote address,Category,Summary,"));
//! assert!(text.starts_with(r#""2022-01-25T07:51:51.962Z","'=1+1","","","a ""b""","#));
//! # Ok::<(), confluence_audit_core::Error>(())
//! ```

use confluence_audit_core::{RawRecord, printable, printable_json};

use crate::context::Context;
use crate::event::Event;
use crate::line::Line;
use crate::text::{changes, objects, push_escaped};

/// The columns' names: what a file begins with.
pub const HEADER: &str = "Date,Author,Remote address,Category,Summary,Affected object,\
    Affected object type,Changed values,Associated objects,Description,Account id,Site,Site id,\
    Event id,Unfit record,Reason";

/// The record's line.
pub fn line(record: &RawRecord, context: &Context<'_>) -> Line {
    let text = record.as_str();
    let event_id = context.event_id().to_string();
    let place = [context.site, context.site_id, &event_id];
    match Event::read(record) {
        Ok(event) => {
            let event = &event.record;
            let own: [&str; 11] = [
                &event.creation_date.to_string(),
                &event.author.display_name,
                &event.remote_address,
                &event.category,
                &event.summary,
                &event.affected_object.name,
                &event.affected_object.object_type,
                &changes(&event.changed_values),
                &objects(&event.associated_objects),
                &event.description,
                event.author.account_id.as_deref().unwrap_or_default(),
            ];
            Line::mapped(row(own, place, ["", ""]))
        }
        Err(why) => {
            let time = context.time.to_string();
            let own = [&time, "", "", "", "", "", "", "", "", "", ""];
            // JSON's own escapes, so that the record stays JSON.
            let record = printable_json(text);
            Line::mapping_error(row(own, place, [&record, &why]))
        }
    }
}

fn row(own: [&str; 11], place: [&str; 3], error: [&str; 2]) -> String {
    let cells = own.iter().chain(&place).chain(&error);
    // With the quotes and the commas, and some for escapes.
    let likely = cells.clone().map(|cell| cell.len() + 4).sum();
    let mut out = String::with_capacity(likely);
    for cell in cells {
        if !out.is_empty() {
            out.push(',');
        }
        out.push('"');
        if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
            out.push('\'');
        }
        push_escaped(&mut out, cell, may_begin, |out, char| match char {
            '"' => out.push_str("\"\""),
            char => out.push_str(&printable(char.encode_utf8(&mut [0; 4]), 1)),
        });
        out.push('"');
    }
    out
}

/// Whether a character that begins with this byte may need an escape.
fn may_begin(byte: u8) -> bool {
    matches!(byte, b'"' | 0..0x20 | 0x7f | 0xc2 | 0xd8 | 0xe2)
}
