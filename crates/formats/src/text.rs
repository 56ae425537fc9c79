//! Lists of a record as one text, for formats that know no lists.

use confluence_audit_core::{AffectedObject, ChangedValue};

/// `type name; type name`.
pub(crate) fn objects(objects: &[AffectedObject]) -> String {
    let texts: Vec<String> = objects
        .iter()
        .map(|object| {
            format!("{} {}", object.object_type, object.name)
                .trim()
                .to_owned()
        })
        .collect();
    texts.join("; ")
}

/// `name: old -> new; name: new`. An arrow without a name behind it: nothing is there any more.
pub(crate) fn changes(changes: &[ChangedValue]) -> String {
    let texts: Vec<String> = changes
        .iter()
        .map(|change| {
            let ChangedValue {
                name,
                old_value,
                new_value,
                ..
            } = change;
            let text = if old_value.is_empty() {
                format!("{name}: {new_value}")
            } else {
                format!("{name}: {old_value} -> {new_value}")
            };
            text.trim().to_owned()
        })
        .collect();
    texts.join("; ")
}
