//! One record, whatever bytes it is made of: its line means the same, its fingerprint does not
//! depend on how it is spelled, and its types give back what they took.

#![no_main]

use bytes::Bytes;
use confluence_audit_core::{AuditRecord, RawRecord};
use confluence_audit_formats::raw;
use confluence_audit_fuzz::{Tree, is_json, value};
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde_json::Value;

fuzz_target!(|text: &[u8]| {
    let Ok(record) = RawRecord::parse(Bytes::copy_from_slice(text)) else {
        assert_eq!(value(text), None, "a record was refused");
        return;
    };
    assert!(is_json(text));
    one_line_that_means_the_same(&record, text);
    jq_line_that_means_the_same(&record, text);
    one_fingerprint_for_every_spelling(&record);
    types_that_lose_nothing(&record);
});

fn one_line_that_means_the_same(record: &RawRecord, text: &[u8]) {
    assert!(!record.line().iter().any(|byte| *byte < b' '));
    assert_eq!(value(record.line()), value(text));
    let again = RawRecord::parse(record.line().clone()).expect("a line is a record");
    assert_eq!(again.line(), record.line());
    assert_eq!(again.time(), record.time());
    assert_eq!(again.fingerprint(), record.fingerprint());
}

fn jq_line_that_means_the_same(record: &RawRecord, text: &[u8]) {
    let line = raw::line(record);
    assert!(!line.iter().any(|byte| *byte < b' ' || *byte == 0x7f));
    assert!(std::str::from_utf8(&line).is_ok());
    assert_eq!(value(&line), value(text));
    let again = RawRecord::parse(line.clone()).expect("a line is a record");
    assert_eq!(raw::line(&again), line);
    assert_eq!(again.fingerprint(), record.fingerprint());
}

fn one_fingerprint_for_every_spelling(record: &RawRecord) {
    let Some(tree) = Tree::of(record.as_str()) else {
        return;
    };
    for reversed in [false, true] {
        let spelled = tree.respelled(reversed);
        let other = RawRecord::parse(spelled.clone()).expect("a record in other words");
        assert_eq!(other.fingerprint(), record.fingerprint(), "{spelled}");
    }
}

fn types_that_lose_nothing(record: &RawRecord) {
    let Ok(typed) = record.record() else {
        return;
    };
    let back = serde_json::to_value(&typed).expect("a typed record can be written");
    if let Some(before) = value(record.line()) {
        is_kept(&before, &back);
    }
    let again = AuditRecord::deserialize(&back).expect("and read again");
    assert_eq!(again, typed);
}

/// Every field is there again. `null` may have become empty, and times are numbers.
fn is_kept(before: &Value, after: &Value) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                match after.get(key) {
                    _ if key == "creationDate" => {}
                    Some(other) => is_kept(value, other),
                    None => panic!("{key} is gone"),
                }
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            assert_eq!(before.len(), after.len());
            for (value, other) in before.iter().zip(after) {
                is_kept(value, other);
            }
        }
        (Value::Null, _) => {}
        _ => assert_eq!(before, after),
    }
}
