//! Records to try: of the real form, nearly so, and anything at all.

use proptest::prelude::*;
use serde_json::{Value, json};

/// Text with what hostile hands put into it, more often than chance would.
fn text() -> impl Strategy<Value = String> {
    let mark = prop::sample::select(vec![
        "|",
        "\\",
        "=",
        " src=1.2.3.4",
        "\n",
        "\r",
        "\t",
        "\"",
        ",",
        "'",
        "+",
        "-",
        "@",
        "\u{1b}[31m",
        "\u{0}",
        "\u{7f}",
        "\u{85}",
        "\u{9b}",
        "\u{2028}",
        "\u{202e}",
        "\u{feff}",
        ".",
        ":",
        "; ",
        " -> ",
        "CEF:0|",
        "{",
        "}",
        "User",
        "Group",
        "Space created",
        " added",
        "192.0.2.1",
        "::1",
    ]);
    let part = prop_oneof![3 => mark.prop_map(str::to_owned), 1 => any::<String>()];
    prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Exact in binary: serde_json reads others a little off.
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((text(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn summary() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "User created",
        "User details updated",
        "User added to group",
        "Group deleted",
        "Space permission added",
        "Global permission removed",
        "Space created",
        "Page moved",
        "Audit Log configuration updated",
    ]);
    prop_oneof![known.prop_map(str::to_owned), text()]
}

fn object() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec!["User", "Group", "Space", "Page", ""]);
    (text(), kind).prop_map(|(name, kind)| json!({"name": name, "objectType": kind}))
}

fn change() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["Type", "Email", "Username", "Display name", "=x"]);
    (name, text(), text())
        .prop_map(|(name, old, new)| json!({"name": name, "oldValue": old, "newValue": new}))
}

/// A record of the real form that fits every format.
pub(crate) fn real() -> impl Strategy<Value = Value> {
    let author = (text(), prop::option::of(text()))
        .prop_map(|(name, id)| json!({"displayName": name, "accountId": id}));
    (
        (
            author,
            text(),
            0..4_102_444_800_000_i64,
            summary(),
            text(),
            text(),
        ),
        object(),
        prop::collection::vec(object(), 0..3),
        prop::collection::vec(change(), 0..3),
    )
        .prop_map(
            |(
                (author, address, time, summary, category, description),
                affected,
                associated,
                changed,
            )| {
                json!({
                    "author": author, "remoteAddress": address, "creationDate": time,
                    "summary": summary, "category": category, "description": description,
                    "affectedObject": affected, "associatedObjects": associated,
                    "changedValues": changed,
                })
            },
        )
}

/// The same with one field that is something else.
fn odd() -> impl Strategy<Value = Value> {
    let field = prop::sample::select(vec![
        "author",
        "remoteAddress",
        "creationDate",
        "summary",
        "category",
        "sysAdmin",
        "affectedObject",
        "associatedObjects",
        "changedValues",
        "new",
    ]);
    (real(), field, any_json()).prop_map(|(mut record, field, value)| {
        record[field] = value;
        record
    })
}

pub(crate) fn any_record() -> impl Strategy<Value = Value> {
    prop_oneof![real(), odd(), any_json()]
}
