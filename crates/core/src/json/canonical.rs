//! The canonical form of a record, which its fingerprint is the hash of.
//!
//! | value | is written as |
//! |---|---|
//! | object | `o`, its members in the order of their keys, end |
//! | member | `k`, its key with escapes undone, end, its value |
//! | array | `a`, its values, end |
//! | string | `s`, what it says, end |
//! | number, `true`, `false`, `null` | `n`, its text, end |
//! | the record's time | `t`, its milliseconds in eight bytes, the lowest first |
//! | what is nested too deeply | `d`, its text, end |
//!
//! Of the objects that the API's document describes only members that identify the event are
//! written, and of those only what is not empty (`null`, `""`, `[]`, `{}`), so that a field which
//! the service adds, or leaves out where it is empty, does not make another event:
//!
//! | object | members | why |
//! |---|---|---|
//! | record | `creationDate`, `author`, `remoteAddress` | when, who, from where |
//! | | `category`, `summary`, `description` | what happened |
//! | | `affectedObject`, `associatedObjects`, `changedValues` | to what, and from what to what |
//! | `author` | `accountId`, `type`; `userKey`, `username` of old records | the account; how it is called and what it may do is looked up when the log is read |
//! | `affectedObject`, `associatedObjects` | `name`, `objectType` | all that is documented |
//! | `changedValues` | `name`, `oldValue`, `newValue`, their `hidden…` forms | all that is documented |
//!
//! `sysAdmin` and `superAdmin` are left out: what an account may do is a fact about the account. An
//! object without any member that is known counts whole.
//!
//! The end is a byte that is in no text, so no two different records have the same form. It is
//! written in one pass over the text, each value where it stands; only members whose keys are out
//! of order are moved then.

use std::cell::Cell;
use std::ops::Range;

use crate::creation_date;
use crate::json::strings as json;

/// Beyond it a value is hashed as it is written: hostile nesting must not exhaust the stack.
const DEEPEST: usize = 64;

/// What a value ends with: UTF-8 has no such byte, and neither have the lone surrogates that JSON
/// can write.
const END: u8 = 0xff;

/// What of the record a value is, which says which members of an object identify the event.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Record,
    Author,
    Time,
    /// `{"name", "objectType"}`, or a list of such.
    Object,
    /// `{"name", "oldValue", "newValue"}`, or a list of such.
    Change,
    /// An author of whom nothing known is told.
    UnknownAuthor,
    Unknown,
}

impl Part {
    /// Whether a member with this key identifies the event. Any key may, where none is known.
    fn identifies(self, key: &[u8]) -> bool {
        match self {
            Self::Record => matches!(
                key,
                b"affectedObject"
                    | b"associatedObjects"
                    | b"author"
                    | b"category"
                    | b"changedValues"
                    | b"creationDate"
                    | b"description"
                    | b"remoteAddress"
                    | b"summary"
            ),
            Self::Author => matches!(key, b"accountId" | b"type" | b"userKey" | b"username"),
            Self::Object => matches!(key, b"name" | b"objectType"),
            Self::Change => matches!(
                key,
                b"hiddenNewValue" | b"hiddenOldValue" | b"name" | b"newValue" | b"oldValue"
            ),
            Self::UnknownAuthor => !matches!(
                key,
                b"accountType"
                    | b"displayName"
                    | b"externalCollaborator"
                    | b"isExternalCollaborator"
                    | b"isGuest"
                    | b"operations"
                    | b"publicName"
            ),
            Self::Time | Self::Unknown => true,
        }
    }

    /// What the member with this key is.
    fn member(self, key: &[u8]) -> Self {
        match (self, key) {
            (Self::Record, b"author") => Self::Author,
            (Self::Record, b"creationDate") => Self::Time,
            (Self::Record, b"affectedObject" | b"associatedObjects") => Self::Object,
            (Self::Record, b"changedValues") => Self::Change,
            _ => Self::Unknown,
        }
    }

    /// What an object is of which no member is known: then all of them count.
    fn without_known_members(self) -> Option<Self> {
        match self {
            Self::Record | Self::Object | Self::Change => Some(Self::Unknown),
            Self::Author => Some(Self::UnknownAuthor),
            Self::Time | Self::UnknownAuthor | Self::Unknown => None,
        }
    }

    /// Whether an empty value of this text is as good as none.
    fn skips(self, value: &[u8]) -> bool {
        self.without_known_members().is_some() && matches!(value, b"null" | b"\"\"" | b"[]" | b"{}")
    }
}

/// Buffers larger than this are not kept for the next record.
const KEPT: usize = 1 << 16;

thread_local! {
    /// What the last record of this thread was written with: most records take no allocation.
    static BUFFERS: Cell<Buffers> = const { Cell::new(Buffers::NONE) };
}

#[derive(Default)]
struct Buffers {
    out: Vec<u8>,
    members: Vec<Member>,
    sorted: Vec<u8>,
}

impl Buffers {
    const NONE: Self = Self {
        out: Vec::new(),
        members: Vec::new(),
        sorted: Vec::new(),
    };
}

/// Hands the canonical form of a record's compact text to `take`.
pub(crate) fn canonical<T>(line: &[u8], take: impl FnOnce(&[u8]) -> T) -> T {
    let Buffers {
        mut out,
        mut members,
        sorted,
    } = BUFFERS.take();
    out.clear();
    members.clear();
    let mut form = Form {
        text: line,
        out,
        members,
        sorted,
    };
    form.write(0, Part::Record, 0);
    let taken = take(&form.out);
    if form.out.capacity() <= KEPT {
        BUFFERS.set(Buffers {
            out: form.out,
            members: form.members,
            sorted: form.sorted,
        });
    }
    taken
}

struct Form<'a> {
    text: &'a [u8],
    out: Vec<u8>,
    /// The members of the objects that are being written, those of inner ones last.
    members: Vec<Member>,
    sorted: Vec<u8>,
}

/// Where a member stands in what was written.
struct Member {
    /// The first bytes of its key, as a number of the same order: most keys differ there.
    prefix: u64,
    key: Range<usize>,
    end: usize,
}

impl Form<'_> {
    /// Writes the value that begins at `at`, and says where it ends.
    fn write(&mut self, at: usize, part: Part, depth: usize) -> usize {
        if part == Part::Time {
            let end = json::value_end(self.text, at);
            if let Some(time) = creation_date::read(&self.text[at.min(end)..end]) {
                // The service is known to have written the time as a string for a while.
                self.out.push(b't');
                self.out.extend_from_slice(&time.as_millis().to_le_bytes());
                return end;
            }
        }
        match self.text.get(at) {
            Some(b'"') => self.write_string(b's', at),
            Some(b'{' | b'[') if depth >= DEEPEST => self.write_as_it_is(b'd', at),
            Some(b'{') => self.write_object(at, part, depth),
            Some(b'[') => self.write_array(at, part, depth),
            // Numbers as they are written, and the three words.
            _ => self.write_as_it_is(b'n', at),
        }
    }

    fn write_object(&mut self, at: usize, part: Part, depth: usize) -> usize {
        self.out.push(b'o');
        let (first, outer) = (at, self.members.len());
        let (mut in_order, mut is_empty) = (true, true);
        let mut before = None;
        let mut at = at + 1;
        while self.text.get(at) == Some(&b'"') {
            let begin = self.out.len();
            at = self.write_string(b'k', at) + 1; // over the colon
            let key = begin + 1..self.out.len() - 1;
            let name = &self.out[key.clone()];
            let (identifies, inner) = (part.identifies(name), part.member(name));
            let prefix = prefix(name);
            let value = at;
            let is_skipped = if identifies {
                at = self.write(value, inner, depth + 1);
                part.skips(self.text.get(value..at).unwrap_or_default())
            } else {
                at = json::value_end(self.text, value);
                true
            };
            is_empty = false;
            if is_skipped {
                self.out.truncate(begin);
            } else {
                in_order &= before < Some(prefix);
                before = Some(prefix);
                let end = self.out.len();
                self.members.push(Member { prefix, key, end });
            }
            if self.text.get(at) != Some(&b',') {
                break;
            }
            at += 1;
        }
        if !is_empty
            && self.members.len() == outer
            && let Some(part) = part.without_known_members()
        {
            self.out.pop();
            return self.write_object(first, part, depth);
        }
        if !in_order {
            self.sort(outer);
        }
        self.members.truncate(outer);
        self.out.push(END);
        at + 1
    }

    /// Puts the members of the object that was just written, from the one with this index on, in
    /// the order of their keys.
    fn sort(&mut self, outer: usize) {
        let Self {
            out,
            members,
            sorted,
            ..
        } = self;
        let members = &mut members[outer..];
        let Some(first) = members.first() else {
            return;
        };
        let begin = first.key.start - 1;
        // Stable: a key that stands twice keeps both values, in their order.
        members.sort_by(|a, b| {
            let by_prefix = a.prefix.cmp(&b.prefix);
            by_prefix.then_with(|| out[a.key.clone()].cmp(&out[b.key.clone()]))
        });
        sorted.clear();
        for member in members.iter() {
            sorted.extend_from_slice(&out[member.key.start - 1..member.end]);
        }
        out.truncate(begin);
        out.extend_from_slice(sorted);
    }

    fn write_array(&mut self, at: usize, part: Part, depth: usize) -> usize {
        self.out.push(b'a');
        let element = match part {
            Part::Object | Part::Change => part,
            _ => Part::Unknown,
        };
        let mut at = at + 1;
        while !matches!(self.text.get(at), None | Some(b']')) {
            at = self.write(at, element, depth + 1);
            if self.text.get(at) != Some(&b',') {
                break;
            }
            at += 1;
        }
        self.out.push(END);
        at + 1
    }

    /// Copies a string while it looks for its end; one with an escape is begun again.
    #[inline]
    fn write_string(&mut self, kind: u8, at: usize) -> usize {
        self.out.push(kind);
        let begin = self.out.len();
        let mut rest = self.text.get(at + 1..).unwrap_or_default();
        while let Some((chunk, behind)) = rest.split_first_chunk::<{ json::CHUNK }>() {
            self.out.extend_from_slice(chunk);
            let Some(found) = json::quote_or_backslash_in(chunk) else {
                rest = behind;
                continue;
            };
            if chunk.get(found) != Some(&b'"') {
                break;
            }
            let end = self.out.len() - json::CHUNK + found;
            self.out.truncate(end + 1);
            self.out[end] = END;
            return self.text.len() - rest.len() + found + 1;
        }
        self.out.truncate(begin);
        self.write_string_in_steps(at)
    }

    #[cold]
    fn write_string_in_steps(&mut self, at: usize) -> usize {
        let (end, escaped) = json::string(self.text, at);
        if escaped {
            let text = json::unescape(&self.text[at..end]);
            self.out.extend_from_slice(&text);
        } else {
            let inner = self.text.get(at + 1..end.saturating_sub(1));
            self.out.extend_from_slice(inner.unwrap_or_default());
        }
        self.out.push(END);
        end
    }

    fn write_as_it_is(&mut self, kind: u8, at: usize) -> usize {
        let end = json::value_end(self.text, at);
        self.out.push(kind);
        self.out
            .extend_from_slice(self.text.get(at..end).unwrap_or_default());
        self.out.push(END);
        end
    }
}

/// The first eight bytes of a key, as a number; a shorter key counts as if zeros followed.
#[inline]
fn prefix(key: &[u8]) -> u64 {
    if let Some(bytes) = key.first_chunk() {
        return u64::from_be_bytes(*bytes);
    }
    let mut bytes = [0; 8];
    bytes[..key.len()].copy_from_slice(key);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;

    /// The same, value by value: slow and plain.
    fn plainly(out: &mut Vec<u8>, text: &[u8], part: Part, depth: usize) {
        let write = |out: &mut Vec<u8>, kind: u8, bytes: &[u8]| {
            out.push(kind);
            out.extend_from_slice(bytes);
            out.push(END);
        };
        if part == Part::Time
            && let Some(time) = creation_date::read(text)
        {
            out.push(b't');
            out.extend_from_slice(&time.as_millis().to_le_bytes());
            return;
        }
        match text.first() {
            Some(b'"') => write(out, b's', &json::unescape(text)),
            Some(b'{' | b'[') if depth >= DEEPEST => write(out, b'd', text),
            Some(b'{') => {
                let all: Vec<(Cow<'_, [u8]>, &[u8])> = json::members(text)
                    .map(|member| (json::unescape(&text[member.key]), &text[member.value]))
                    .collect();
                let mut members = all.clone();
                members.retain(|(key, value)| part.identifies(key) && !part.skips(value));
                if members.is_empty()
                    && !all.is_empty()
                    && let Some(part) = part.without_known_members()
                {
                    return plainly(out, text, part, depth);
                }
                members.sort_by(|a, b| a.0.cmp(&b.0));
                out.push(b'o');
                for (key, value) in members {
                    write(out, b'k', &key);
                    plainly(out, value, part.member(&key), depth + 1);
                }
                out.push(END);
            }
            Some(b'[') => {
                let inner = match part {
                    Part::Object | Part::Change => part,
                    _ => Part::Unknown,
                };
                out.push(b'a');
                for element in json::elements(text) {
                    plainly(out, &text[element], inner, depth + 1);
                }
                out.push(END);
            }
            _ => write(out, b'n', text),
        }
    }

    fn key() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("author".to_owned()),
            Just("creationDate".to_owned()),
            Just("displayName".to_owned()),
            Just("accountId".to_owned()),
            Just("changedValues".to_owned()),
            Just("affectedObject".to_owned()),
            Just("name".to_owned()),
            Just("summary".to_owned()),
            Just("\\u0061uthor".to_owned()),
            "[a-e\\\\\"é]{0,12}".prop_map(|key| {
                let quoted = serde_json::Value::from(key).to_string();
                quoted[1..quoted.len() - 1].to_owned()
            }),
        ]
    }

    fn compact() -> impl Strategy<Value = String> {
        let scalar = prop_oneof![
            Just("null".to_owned()),
            Just("\"\"".to_owned()),
            Just("true".to_owned()),
            any::<i64>().prop_map(|number| number.to_string()),
            Just("1.643097111962E12".to_owned()),
            ".{0,40}".prop_map(|text| serde_json::Value::from(text).to_string()),
        ];
        scalar.prop_recursive(5, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6)
                    .prop_map(|list| format!("[{}]", list.join(","))),
                prop::collection::vec((key(), inner), 0..6).prop_map(|members| {
                    let members: Vec<_> = members
                        .into_iter()
                        .map(|(key, value)| format!("\"{key}\":{value}"))
                        .collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn one_pass_writes_what_value_by_value_is_written(text in compact()) {
            let mut expected = Vec::new();
            plainly(&mut expected, text.as_bytes(), Part::Record, 0);
            let form = canonical(text.as_bytes(), <[u8]>::to_vec);
            prop_assert_eq!(form, expected);
        }

        #[test]
        fn what_is_no_json_ends_all_the_same(text in "[\\[\\]{}\",:\\\\a1 ]{0,40}") {
            canonical(text.as_bytes(), |_| ());
        }
    }
}
