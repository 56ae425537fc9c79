//! Every fixture read back: nothing that the service wrote is lost, in the raw record or in the
//! typed one. What is expected is computed here, by other means than the core's.

use confluence_audit_core::{Page, RawRecord};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::fixture::Fixture;

/// The folders of fixtures, each with what the contract tests ask of it.
const FOLDERS: [&str; 8] = [
    "accessible-resources",
    "audit",
    "errors",
    "export",
    "oauth-token",
    "retention",
    "since",
    "tenant_info",
];

fn pages() -> Vec<String> {
    let mut names = Fixture::names("audit");
    names.extend(Fixture::names("since"));
    names
}

/// The elements of `results`, each as it stands in the body.
fn elements(body: &[u8]) -> Vec<&str> {
    let text = std::str::from_utf8(body).unwrap();
    let text = text.trim_start_matches('\u{feff}');
    let page: std::collections::BTreeMap<&str, &RawValue> = serde_json::from_str(text).unwrap();
    let results: Vec<&RawValue> = serde_json::from_str(page["results"].get()).unwrap();
    results.into_iter().map(RawValue::get).collect()
}

/// `json` without white space outside of strings, one character at a time.
fn without_white_space(json: &str) -> String {
    let (mut out, mut in_string, mut escaped) = (String::new(), false, false);
    for char in json.chars() {
        if in_string {
            in_string = escaped || char != '"';
            escaped = !escaped && char == '\\';
        } else if char.is_ascii_whitespace() {
            continue;
        } else {
            in_string = char == '"';
        }
        out.push(char);
    }
    out
}

#[test]
fn every_record_is_read_back_as_it_stands_but_for_white_space() {
    let mut read = 0;
    for name in pages() {
        let body = Fixture::read(&name).body;
        let page = Page::parse(&body, None).unwrap_or_else(|e| panic!("{name}: {e}"));
        let elements = elements(&body);
        assert_eq!(page.records.len(), elements.len(), "{name}");
        for (record, element) in page.records.iter().zip(elements) {
            let expected = without_white_space(element);
            assert_eq!(record.as_str(), expected, "{name}");
            assert_eq!(record.line(), expected.as_bytes(), "{name}");
            assert!(!expected.contains(['\n', '\r']), "{name}");

            let alone = RawRecord::parse(element.to_owned()).unwrap();
            assert_eq!(&alone, record, "{name}");
            let again = RawRecord::parse(record.line().clone()).unwrap();
            assert_eq!(&again, record, "{name}");
            assert_eq!(again.fingerprint(), record.fingerprint(), "{name}");
            assert_eq!(again.time(), record.time(), "{name}");
            read += 1;
        }
    }
    assert!(read > 100, "{read}");
}

/// `json` with every kind of white space behind each token that is no string.
fn with_white_space(json: &str) -> String {
    let (mut out, mut in_string, mut escaped) = (String::from("\r\n\t "), false, false);
    for char in json.chars() {
        out.push(char);
        if in_string {
            in_string = escaped || char != '"';
            escaped = !escaped && char == '\\';
        } else if "{}[]:,".contains(char) {
            out.push_str("\r\n\t ");
        } else {
            in_string = char == '"';
        }
    }
    out
}

#[test]
fn white_space_of_every_kind_changes_no_record() {
    for name in pages() {
        let page = Page::parse(&Fixture::read(&name).body, None).unwrap();
        for record in page.records {
            let wide = RawRecord::parse(with_white_space(record.as_str())).unwrap();
            assert_eq!(wide, record, "{name}");
            assert_eq!(wide.fingerprint(), record.fingerprint(), "{name}");
        }
    }
}

#[test]
fn a_record_that_fits_the_types_comes_out_of_them_with_every_field() {
    let (mut typed, mut untyped) = (0, Vec::new());
    for name in pages() {
        let body = Fixture::read(&name).body;
        for element in elements(&body) {
            let record = RawRecord::parse(element.to_owned()).unwrap();
            let Ok(decoded) = record.record() else {
                untyped.push(name.clone());
                continue;
            };
            let written = serde_json::to_value(&decoded).unwrap();
            let before: Value = serde_json::from_str(element).unwrap();
            assert_holds(&written, &before, &name);
            assert_eq!(record.time(), Some(decoded.creation_date), "{name}");
            typed += 1;
        }
    }
    untyped.dedup();
    // A lone surrogate, a number beyond any type, another shape, a key twice: raw they are whole.
    let expected = [
        "audit/odd-escapes",
        "audit/odd-numbers",
        "audit/records-of-other-shapes",
        "audit/repeated-key",
    ];
    assert_eq!(untyped, expected);
    assert!(typed > 90, "{typed}");
}

/// That `after` says all that `before` said. A time may have become a number and a required field
/// that was `null` empty; a field more is no loss.
fn assert_holds(after: &Value, before: &Value, at: &str) {
    match (after, before) {
        (Value::Object(after), Value::Object(before)) => {
            for (key, value) in before {
                let at = format!("{at}/{key}");
                let kept = after.get(key).unwrap_or_else(|| panic!("{at} is lost"));
                if key == "creationDate" && value.is_string() {
                    assert_eq!(kept.to_string(), value.as_str().unwrap(), "{at}");
                } else if !value.is_null() {
                    assert_holds(kept, value, &at);
                }
            }
        }
        (Value::Array(after), Value::Array(before)) => {
            assert_eq!(after.len(), before.len(), "{at}");
            for (after, before) in after.iter().zip(before) {
                assert_holds(after, before, at);
            }
        }
        _ => assert_eq!(after, before, "{at}"),
    }
}

#[test]
fn a_record_is_one_line_whatever_its_text_holds() {
    for name in pages() {
        let page = Page::parse(&Fixture::read(&name).body, None).unwrap();
        for record in page.records {
            let line = record.line();
            assert!(!line.iter().any(|byte| *byte < b' '), "{name}: {record:?}");
        }
    }
}

#[test]
fn twins_have_one_name_and_all_other_records_of_the_log_have_their_own() {
    let page = Page::parse(&Fixture::read("audit/single-page").body, None).unwrap();
    for (at, record) in page.records.iter().enumerate() {
        for other in &page.records[at + 1..] {
            assert_ne!(record.fingerprint(), other.fingerprint());
        }
    }
    let twins = Page::parse(&Fixture::read("audit/twins").body, None).unwrap();
    let names: Vec<_> = twins.records.iter().map(RawRecord::fingerprint).collect();
    assert_eq!(names[1], names[2]);
}

#[test]
fn every_fixture_is_of_the_form_that_its_readme_describes() {
    let mut found: Vec<String> =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures"))
            .unwrap()
            .map(Result::unwrap)
            .filter(|entry| entry.file_type().unwrap().is_dir())
            .map(|entry| entry.file_name().into_string().unwrap())
            // Answers of a real site, which git ignores.
            .filter(|name| name != "recorded")
            .collect();
    found.sort();
    assert_eq!(found, FOLDERS);
    for name in FOLDERS.iter().flat_map(|folder| Fixture::names(folder)) {
        let fixture = Fixture::read(&name);
        for (header, value) in &fixture.headers {
            assert!(
                !header.contains(' ') && !value.contains('\r'),
                "{name}: {header}"
            );
            let framing = [
                "content-length",
                "transfer-encoding",
                "content-encoding",
                "connection",
            ];
            assert!(
                !framing.contains(&header.to_ascii_lowercase().as_str()),
                "{name}"
            );
        }
        if let Some(status) = name.strip_prefix("errors/") {
            assert_eq!(status[..3], fixture.status.to_string(), "{name}");
        }
    }
}
