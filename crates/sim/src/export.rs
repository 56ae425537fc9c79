//! `audit/export`: a window as CSV, or as a zip that holds the CSV.
//!
//! The real columns are undocumented, so these are ours: Date (ISO 8601), Author, Author Id, IP Address, Category,
//! Summary, Description, Affected Object, Affected Object Type, Changed Values (`name: old -> new`, joined by `; `),
//! Associated Objects (`type: name`, joined by `; `). Every field is quoted.

use bytes::Bytes;
use flate2::Crc;
use jiff::Timestamp;

use crate::error_response::bad_request;
use crate::generator::Generator;
use crate::quirks::Order;
use crate::record::{Object, Record};
use crate::response::Response;
use crate::selection::Selection;

const HEADER: &str = "\"Date\",\"Author\",\"Author Id\",\"IP Address\",\"Category\",\"Summary\",\"Description\",\
    \"Affected Object\",\"Affected Object Type\",\"Changed Values\",\"Associated Objects\"\r\n";
/// Records made at a time.
const STRIDE: usize = 256;
/// The name of the file, without its suffix.
const NAME: &str = "auditLogExport";

/// The file.
pub(crate) fn export(
    selection: Selection,
    generator: Generator,
    order: Order,
    format: &str,
) -> Response {
    let total = selection.len();
    let rows = (0..total).step_by(STRIDE).map(move |at| {
        let end = (at + STRIDE).min(total);
        let mut entries = if order == Order::OldestFirst {
            selection.slice(at, end)
        } else {
            selection.slice(total - end, total - at)
        };
        if order != Order::OldestFirst {
            entries.reverse();
        }
        Bytes::from(
            entries
                .into_iter()
                .map(|entry| row(&generator.record(entry)))
                .collect::<String>(),
        )
    });
    let csv = std::iter::once(Bytes::from_static(HEADER.as_bytes())).chain(rows);
    let response = match format {
        "csv" => Response::stream("text/csv;charset=UTF-8", csv),
        "zip" => match zip(&format!("{NAME}.csv"), &csv.collect::<Vec<_>>().concat()) {
            Some(archive) => Response::new(200, "application/zip", archive),
            None => return bad_request("The window is too large for a zip"),
        },
        _ => return bad_request("format must be csv or zip"),
    };
    response.with(
        "Content-Disposition",
        format!("attachment; filename=\"{NAME}.{format}\""),
    )
}

fn row(record: &Record) -> String {
    let date = Timestamp::from_millisecond(record.creation_date)
        .unwrap_or_default()
        .to_string();
    let changes: Vec<_> = record
        .changed_values
        .iter()
        .map(|change| {
            format!(
                "{}: {} -> {}",
                change.name, change.old_value, change.new_value
            )
        })
        .collect();
    let objects: Vec<_> = record.associated_objects.iter().map(describe).collect();
    let fields = [
        date.as_str(),
        &record.author.display_name,
        record
            .author
            .account
            .as_ref()
            .map_or("", |account| &account.id),
        &record.remote_address,
        &record.category,
        &record.summary,
        &record.description,
        &record.affected_object.name,
        record.affected_object.object_type,
        &changes.join("; "),
        &objects.join("; "),
    ];
    let quoted = fields.map(|field| format!("\"{}\"", field.replace('"', "\"\"")));
    quoted.join(",") + "\r\n"
}

fn describe(object: &Object) -> String {
    format!("{}: {}", object.object_type, object.name)
}

/// A zip of one stored file. None where it would need more than the 32 bits of the plain format.
fn zip(name: &str, content: &[u8]) -> Option<Vec<u8>> {
    let mut crc = Crc::new();
    crc.update(content);
    let size = u32::try_from(content.len()).ok()?;
    let name_size = u16::try_from(name.len()).ok()?;
    // What the local header and the directory share: version, flags (names in UTF-8), stored, midnight of 1980-01-01,
    // checksum, both sizes, the length of the name, no extra field.
    let mut common = Vec::new();
    for half in [20_u16, 0x0800, 0, 0, 0x21] {
        common.extend(half.to_le_bytes());
    }
    for word in [crc.sum(), size, size] {
        common.extend(word.to_le_bytes());
    }
    for half in [name_size, 0] {
        common.extend(half.to_le_bytes());
    }
    let local = [b"PK\x03\x04", common.as_slice(), name.as_bytes()].concat();
    let offset = u32::try_from(local.len()).ok()?.checked_add(size)?;
    // The version that made it, the common part, then: no comment, disk 0, no attributes, the header at offset 0.
    let directory = [
        b"PK\x01\x02\x14\0",
        common.as_slice(),
        &[0; 14],
        name.as_bytes(),
    ]
    .concat();
    let length = u32::try_from(directory.len()).ok()?;
    let end = [
        b"PK\x05\x06\0\0\0\0\x01\0\x01\0",
        length.to_le_bytes().as_slice(),
        &offset.to_le_bytes(),
        &[0; 2],
    ]
    .concat();
    Some([local.as_slice(), content, &directory, &end].concat())
}
