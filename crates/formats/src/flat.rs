//! `flat`: the record with dotted keys, and where it is from, for readers that know no nesting.
//!
//! | the record has | the line has |
//! |---|---|
//! | a value in objects, `author.accountId` | one key with dots, `author.accountId` |
//! | a list of objects, `changedValues` | one list a member, `changedValues.name`, `changedValues.newValue`; all of the list's length, `null` where an object lacks the member |
//! | any other list, and whatever stands in a list | the same |
//! | `null`, `""`, `[]`, `{}`, numbers | the same, digit for digit |
//! | | `collector.event_id`: names the event among those of all sites |
//! | | `collector.site`, `collector.site_id`, `collector.site_url`: where it is from |
//! | what has no dotted form | `collector.record`: the record as a text, and `collector.unfit`: why |
//!
//! So which keys a line has depends on what the objects in a list have, never on how many there
//! are. No dotted form have a record that is no object, two values that would share a key, objects
//! that lie more than 64 deep, and a long list of objects that have no key in common.
//!
//! The form is this project's own; it follows no published schema.
//!
//! ```
//! use confluence_audit_core::RawRecord;
//! use confluence_audit_formats::{Context, flat};
//!
//! let record = RawRecord::parse(r#"{"author":{"name":"Ida"},"changes":[{"to":"a"},{"to":"b"}]}"#)?;
//! let line = flat::line(&record, &Context::new("acme", "0a1b", &record));
//! let text = String::from_utf8_lossy(&line.bytes);
//! assert!(text.starts_with(r#"{"author.name":"Ida","changes.to":["a","b"],"collector.event_id":"#));
//! # Ok::<(), confluence_audit_core::Error>(())
//! ```

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use confluence_audit_core::RawRecord;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::context::Context;
use crate::json::{Text, push_string, safe_line};
use crate::line::Line;

/// The record's line.
pub fn line(record: &RawRecord, context: &Context<'_>) -> Line {
    let text = record.as_str();
    let fields = flattened(text).and_then(|mut fields| {
        fields.extend(place(context));
        distinct(&fields).map(|()| fields)
    });
    match fields {
        Ok(fields) => Line::mapped(written(&fields, text.len())),
        Err(why) => {
            let raw = [
                ("collector.record", quoted(text)),
                ("collector.unfit", quoted(why)),
            ];
            let raw = raw.map(|(key, value)| Field {
                key: key.into(),
                value: value.into(),
            });
            let fields: Vec<Field<'_>> = place(context).into_iter().chain(raw).collect();
            Line::mapping_error(written(&fields, 2 * text.len()))
        }
    }
}

/// Where the record is from, and which one it is.
fn place(context: &Context<'_>) -> [Field<'static>; 4] {
    let url = context.url.map_or_else(|| "null".to_owned(), quoted);
    [
        (
            "collector.event_id",
            quoted(&context.event_id().to_string()),
        ),
        ("collector.site", quoted(context.site)),
        ("collector.site_id", quoted(context.site_id)),
        ("collector.site_url", url),
    ]
    .map(|(key, value)| Field {
        key: key.into(),
        value: value.into(),
    })
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_string(&mut out, text);
    out
}

/// A key, and its value as JSON.
struct Field<'a> {
    key: Cow<'a, str>,
    value: Cow<'a, str>,
}

const DEEPEST: usize = 64;

fn flattened(json: &str) -> Result<Vec<Field<'_>>, &'static str> {
    let mut fields = Vec::with_capacity(64);
    push_members(&mut fields, None, json, 0)?;
    Ok(fields)
}

/// Adds what the object `json`, found at `path`, holds.
fn push_members<'a>(
    fields: &mut Vec<Field<'a>>,
    path: Option<&str>,
    json: &'a str,
    depth: usize,
) -> Result<(), &'static str> {
    if depth == DEEPEST {
        return Err("it is nested too deeply");
    }
    for (name, value) in members(json)? {
        let key = joined(path, name);
        match value.get() {
            object if object.starts_with('{') && object != "{}" => {
                push_members(fields, Some(&key), object, depth + 1)?;
            }
            list if list.starts_with('[') && list != "[]" => {
                push_list(fields, key, list, depth + 1)?;
            }
            value => fields.push(Field {
                key,
                value: value.into(),
            }),
        }
    }
    Ok(())
}

fn joined<'a>(path: Option<&str>, Text(name): Text<'a>) -> Cow<'a, str> {
    match path {
        Some(path) => [path, ".", &name].concat().into(),
        None => name,
    }
}

/// Adds a list: as one list a member when all of it is objects that are not empty.
fn push_list<'a>(
    fields: &mut Vec<Field<'a>>,
    key: Cow<'a, str>,
    json: &'a str,
    depth: usize,
) -> Result<(), &'static str> {
    let elements: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| "a list is unclear")?;
    let is_object = |element: &&RawValue| element.get().starts_with('{') && element.get() != "{}";
    if !elements.iter().all(is_object) {
        fields.push(Field {
            key,
            value: json.into(),
        });
        return Ok(());
    }
    let mut columns: Vec<Column<'_>> = Vec::new();
    let mut places: HashMap<Cow<'_, str>, usize> = HashMap::new();
    let mut cells = Vec::new();
    for (row, element) in elements.iter().enumerate() {
        push_members_of_element(&mut cells, None, element.get(), depth)?;
        distinct(&cells)?;
        for (index, Field { key, value }) in cells.drain(..).enumerate() {
            // Mostly all have the same members in the same order.
            let at = match columns.get(index) {
                Some(column) if column.key == key => index,
                _ => *places.entry(key).or_insert_with_key(|key| {
                    columns.push(Column::new(key.clone()));
                    columns.len() - 1
                }),
            };
            columns[at].push(row, &value);
        }
        // Where each object has keys of its own, nearly all would be `null`.
        if columns.len() * row > json.len() {
            return Err("the objects in a list are too unlike");
        }
    }
    for column in columns {
        fields.push(Field {
            key: [&key, ".", &column.key].concat().into(),
            value: column.finish(elements.len()).into(),
        });
    }
    Ok(())
}

/// A list that is being written: what one member is in each object of another list.
struct Column<'a> {
    key: Cow<'a, str>,
    rows: usize,
    list: String,
}

impl<'a> Column<'a> {
    fn new(key: Cow<'a, str>) -> Self {
        let (rows, list) = (0, String::from("["));
        Self { key, rows, list }
    }

    /// Adds the value of this row; rows that lack one before it are `null`.
    fn push(&mut self, row: usize, value: &str) {
        self.fill(row);
        self.add(value);
    }

    fn finish(mut self, rows: usize) -> String {
        self.fill(rows);
        self.list.push(']');
        self.list
    }

    fn fill(&mut self, rows: usize) {
        while self.rows < rows {
            self.add("null");
        }
    }

    fn add(&mut self, value: &str) {
        if self.rows > 0 {
            self.list.push(',');
        }
        self.list.push_str(value);
        self.rows += 1;
    }
}

/// Adds what an object in a list holds; lists in it stay as they are.
fn push_members_of_element<'a>(
    fields: &mut Vec<Field<'a>>,
    path: Option<&str>,
    json: &'a str,
    depth: usize,
) -> Result<(), &'static str> {
    if depth == DEEPEST {
        return Err("it is nested too deeply");
    }
    for (name, value) in members(json)? {
        let key = joined(path, name);
        let value = value.get();
        if value.starts_with('{') && value != "{}" {
            push_members_of_element(fields, Some(&key), value, depth + 1)?;
        } else {
            let value = value.into();
            fields.push(Field { key, value });
        }
    }
    Ok(())
}

/// Says when two of the fields have the same key.
fn distinct(fields: &[Field<'_>]) -> Result<(), &'static str> {
    // So few are compared sooner than hashed.
    const FEW: usize = 64;
    let mut keys = fields.iter().map(|field| &*field.key).enumerate();
    let all = if fields.len() <= FEW {
        keys.all(|(index, key)| fields[..index].iter().all(|other| other.key != key))
    } else {
        let mut seen = HashSet::with_capacity(fields.len());
        keys.all(|(_, key)| seen.insert(key))
    };
    all.then_some(())
        .ok_or("two of its values have the same key")
}

/// The line of these fields, from a record of about this length.
fn written(fields: &[Field<'_>], likely: usize) -> String {
    let mut out = String::with_capacity(likely + 1024);
    out.push('{');
    for (index, Field { key, value }) in fields.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_string(&mut out, key);
        out.push(':');
        out.push_str(value);
    }
    out.push('}');
    safe_line(out)
}

fn members(json: &str) -> Result<Vec<(Text<'_>, &RawValue)>, &'static str> {
    let members: Members<'_> = serde_json::from_str(json).map_err(|_| "it is no object")?;
    Ok(members.0)
}

/// The members of an object in their order, with one that stands twice.
struct Members<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(12);
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn of(text: &str) -> (String, bool) {
        let record = RawRecord::parse(text.to_owned()).unwrap();
        let mut context = Context::new("acme", "site", &record);
        context.url = Some("https://acme.atlassian.net");
        let line = line(&record, &context);
        let text = String::from_utf8(line.bytes.to_vec()).unwrap();
        let (own, _) = text.split_once(r#""collector.event_id""#).unwrap();
        if line.fits {
            (own.to_owned(), true)
        } else {
            let (_, why) = text.split_once(r#""collector.record""#).unwrap();
            (why.to_owned(), false)
        }
    }

    fn flat(text: &str, expected: &str) {
        assert_eq!(of(text), (expected.to_owned(), true), "{text}");
    }

    #[test]
    fn the_keys_do_not_depend_on_how_long_a_list_is() {
        flat(r#"{"l":[{"a":1}]}"#, r#"{"l.a":[1],"#);
        flat(r#"{"l":[{"a":1},{"a":2},{"a":3}]}"#, r#"{"l.a":[1,2,3],"#);
        flat(
            r#"{"l":[{"a":1},{"b":2},{"c":{"d":3}},{"a":4}]}"#,
            r#"{"l.a":[1,null,null,4],"l.b":[null,2,null,null],"l.c.d":[null,null,3,null],"#,
        );
    }

    #[test]
    fn lists_of_anything_else_and_lists_in_lists_stay_as_they_are() {
        for same in [
            r#""l":[],"#,
            r#""l":[1,"a",null],"#,
            r#""l":[{"a":1},2],"#,
            r#""l":[{"a":1},{}],"#,
            r#""l":[[{"a":1}]],"#,
        ] {
            flat(
                &format!("{{{}}}", same.trim_end_matches(',')),
                &format!("{{{same}"),
            );
        }
        flat(r#"{"l":[{"m":[{"a":1}]}]}"#, r#"{"l.m":[[{"a":1}]],"#);
    }

    #[test]
    fn digits_and_empty_values_are_kept_and_nothing_steers_a_terminal() {
        flat(
            "{\"n\":{\"a\":1.0,\"b\":1e400,\"c\":-0},\"e\":{},\"s\":\"\",\"z\":null,\"t\":\"\u{9b}\u{2028}\\ud800\"}",
            r#"{"n.a":1.0,"n.b":1e400,"n.c":-0,"e":{},"s":"","z":null,"t":"\u009b\u2028\ud800","#,
        );
    }

    #[test]
    fn what_has_no_dotted_form_is_delivered_whole() {
        let unlike: Vec<String> = (0..50).map(|n| format!("{{\"{n}\":1}}")).collect();
        let unlike = format!("{{\"l\":[{}]}}", unlike.join(","));
        let deep = format!("{}1{}", "{\"a\":".repeat(70), "}".repeat(70));
        for (text, why) in [
            ("17", "it is no object"),
            (r#"["a"]"#, "it is no object"),
            (r#"{"a":1,"a":2}"#, "two of its values have the same key"),
            (
                r#"{"a.b":1,"a":{"b":2}}"#,
                "two of its values have the same key",
            ),
            (
                r#"{"l":[{"a":1,"a":2}]}"#,
                "two of its values have the same key",
            ),
            (
                r#"{"collector.site":1}"#,
                "two of its values have the same key",
            ),
            (&deep, "it is nested too deeply"),
            (&unlike, "the objects in a list are too unlike"),
        ] {
            let (own, fits) = of(text);
            let expected = format!(":{},\"collector.unfit\":\"{why}\"}}", Value::from(text));
            assert_eq!((own, fits), (expected, false));
        }
    }
}
