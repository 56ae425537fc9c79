//! `cef`: `ArcSight`'s Common Event Format, version 0, with the keys of its extension dictionary.
//!
//! | the record has | the line has |
//! |---|---|
//! | `summary` | the header's event class and name |
//! | `summary`, as far as it is known | the header's severity: 5 for accounts, groups and permissions, 4 for settings, else 3; `outcome` |
//! | `creationDate` | `rt` in milliseconds |
//! | `category` | `cat` |
//! | `author.accountId`, `author.displayName` | `suid`, `suser` |
//! | `remoteAddress` | `src`; an IPv6 address `c6a2`; anything else `shost` |
//! | `affectedObject` | `cs1` and its type `cs2` |
//! | `associatedObjects` | `cs3`: `type name`, with `; ` between them |
//! | `changedValues` | `cs4`: `name: old -> new`, with `; ` between them |
//! | `description` | `msg` |
//! | the user, where an account or its groups change | `duser` |
//! | | `externalId`: the fingerprint, which has the 40 characters that there is room for |
//! | | `cn1`: which of the copies with this fingerprint it is |
//! | | `deviceExternalId`, `cs5`, `dvchost`: the site's cloud id, name and host |
//! | what does not fit | `cs6`: the record; `reason`: why; the header's class is `unfit` |
//!
//! In the header backslashes and pipes are escaped, in values backslashes and equals signs, and a
//! line break is written `\n` or `\r`. Other control characters, line separators and what changes
//! the direction of text become blanks, in the header line breaks too: the format has no way to
//! write them. Nothing is cut.
//!
//! ```
//! use confluence_audit_core::{RawRecord, printable_json};
//! use confluence_audit_formats::{Context, cef};
//!
//! let record = RawRecord::parse(
//!     r#"{"remoteAddress":"192.0.2.17","creationDate":1643097111962,"summary":"a|b",
//!         "category":"x src=203.0.113.9"}"#,
//! )?;
//! let line = cef::line(&record, &Context::new("acme", "0a1b", &record));
//! let text = String::from_utf8_lossy(&line.bytes);
//! assert!(text.starts_with(r"CEF:0|Atlassian|Confluence|Cloud|a\|b|a\|b|3|rt=1643097111962 "));
//! assert!(text.contains(r"cat=x src\=203.0.113.9 src=192.0.2.17 "));
//! # Ok::<(), confluence_audit_core::Error>(())
//! ```

use std::fmt::Write as _;
use std::net::IpAddr;

use confluence_audit_core::{RawRecord, printable_json};

use crate::context::Context;
use crate::event::Event;
use crate::line::Line;
use crate::meaning::Area;
use crate::text::{changes, objects, push_escaped};

/// The record's line.
pub fn line(record: &RawRecord, context: &Context<'_>) -> Line {
    let text = record.as_str();
    match Event::read(record) {
        Ok(event) => Line::mapped(mapped(&event, context, text.len())),
        Err(why) => {
            let mut out = header("unfit", "Record that does not fit", 3, text.len());
            push_first(&mut out, "rt", context.time.as_millis());
            push(&mut out, "reason", &why);
            // JSON's own escapes: the format has none for what could break the line.
            push_custom(&mut out, "cs6", "Record", &printable_json(text));
            push_place(&mut out, context);
            Line::mapping_error(out)
        }
    }
}

fn mapped(event: &Event<'_>, context: &Context<'_>, likely: usize) -> String {
    let record = &event.record;
    let area = event.meaning.area;
    let severity = match area {
        Some(Area::Account | Area::Group | Area::Membership | Area::Permission) => 5,
        Some(Area::Settings) => 4,
        Some(Area::Space | Area::Content) | None => 3,
    };
    let name = match &*record.summary {
        "" => "Audit record",
        summary => summary,
    };
    let mut out = header(name, name, severity, likely);
    push_first(&mut out, "rt", record.creation_date.as_millis());
    push(&mut out, "cat", &record.category);
    push(
        &mut out,
        "suid",
        record.author.account_id.as_deref().unwrap_or_default(),
    );
    push(&mut out, "suser", &record.author.display_name);
    match event.ip() {
        Some(IpAddr::V4(_)) => push(&mut out, "src", event.address()),
        Some(IpAddr::V6(_)) => {
            push_custom(&mut out, "c6a2", "Source IPv6 Address", event.address());
        }
        None => push(&mut out, "shost", event.address()),
    }
    if let Some(Area::Account | Area::Membership) = area
        && let Some(user) = event.object("User")
    {
        push(&mut out, "duser", &user.name);
    }
    if event.meaning.action.is_some() {
        push(&mut out, "outcome", "success");
    }
    push(&mut out, "msg", &record.description);
    let affected = &record.affected_object;
    push_custom(&mut out, "cs1", "Affected object", &affected.name);
    push_custom(
        &mut out,
        "cs2",
        "Affected object type",
        &affected.object_type,
    );
    let associated = objects(&record.associated_objects);
    push_custom(&mut out, "cs3", "Associated objects", &associated);
    let changed = changes(&record.changed_values);
    push_custom(&mut out, "cs4", "Changed values", &changed);
    push_place(&mut out, context);
    out
}

fn header(class: &str, name: &str, severity: u8, likely: usize) -> String {
    let mut out = String::with_capacity(likely + 512);
    out.push_str("CEF:0|Atlassian|Confluence|Cloud|");
    for text in [class, name] {
        push_escaped(&mut out, text, may_begin::<b'|'>, |out, char| match char {
            '\\' | '|' => out.extend(['\\', char]),
            char if breaks(char) => out.push(' '),
            char => out.push(char),
        });
        out.push('|');
    }
    // Writing to a string cannot fail.
    let _ = write!(out, "{severity}|");
    out
}

/// Where the record is from, and which one it is.
fn push_place(out: &mut String, context: &Context<'_>) {
    push(out, "externalId", &context.fingerprint.to_string());
    push_custom(out, "cn1", "Copy", &context.ordinal.to_string());
    push(out, "deviceExternalId", context.site_id);
    push_custom(out, "cs5", "Site", context.site);
    let host = context.url.and_then(|url| url.split('/').nth(2));
    push(out, "dvchost", host.unwrap_or_default());
}

fn push_custom(out: &mut String, key: &str, label: &str, value: &str) {
    if !value.is_empty() {
        out.extend([" ", key, "Label=", label]);
        push(out, key, value);
    }
}

/// The first pair stands right behind the header.
fn push_first(out: &mut String, key: &str, value: i64) {
    let _ = write!(out, "{key}={value}");
}

fn push(out: &mut String, key: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    out.extend([" ", key, "="]);
    push_escaped(out, value, may_begin::<b'='>, |out, char| match char {
        '\\' | '=' => out.extend(['\\', char]),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        char if breaks(char) => out.push(' '),
        char => out.push(char),
    });
}

/// Whether a character that begins with this byte may need an escape, where `MARK` does.
fn may_begin<const MARK: u8>(byte: u8) -> bool {
    matches!(byte, b'\\' | 0..0x20 | 0x7f | 0xc2 | 0xe2) || byte == MARK
}

/// Whether some reader may take it for the end of the line, or a terminal for a command.
fn breaks(char: char) -> bool {
    char.is_control() || matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
