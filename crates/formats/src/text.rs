//! Escaping, and the lists of a record as one text for formats that know no lists.

use confluence_audit_core::{AffectedObject, ChangedValue};

/// Appends `text`; each character that begins with a byte for which `is_special` holds is left to
/// `escape`. No such byte may be one that continues a character.
#[inline]
pub(crate) fn push_escaped(
    out: &mut String,
    text: &str,
    is_special: impl Fn(u8) -> bool,
    escape: impl Fn(&mut String, char),
) {
    let mut rest = text;
    while let Some(found) = rest.bytes().position(&is_special) {
        let (before, special) = rest.split_at(found);
        out.push_str(before);
        let mut chars = special.chars();
        if let Some(char) = chars.next() {
            escape(out, char);
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

/// `type name; type name`.
pub(crate) fn objects(objects: &[AffectedObject<'_>]) -> String {
    joined(objects, |out, object| {
        out.extend([&*object.object_type, " ", &*object.name]);
    })
}

/// `name: old -> new; name: new`. An arrow without a name behind it: nothing is there any more.
pub(crate) fn changes(changes: &[ChangedValue<'_>]) -> String {
    joined(changes, |out, change| {
        out.extend([&*change.name, ": "]);
        if !change.old_value.is_empty() {
            out.extend([&*change.old_value, " -> "]);
        }
        out.push_str(&change.new_value);
    })
}

/// What `push` appends for each item, without white space around it and with `; ` between them.
fn joined<T>(items: &[T], push: impl Fn(&mut String, &T)) -> String {
    let mut out = String::new();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str("; ");
        }
        let begin = out.len();
        push(&mut out, item);
        out.truncate(begin + out[begin..].trim_end().len());
        let blank = out.len() - begin - out[begin..].trim_start().len();
        out.drain(begin..begin + blank);
    }
    out
}
