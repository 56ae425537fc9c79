//! A page's body, whatever bytes it is made of: split as `serde_json` would split it, or refused.

#![no_main]

use bytes::Bytes;
use confluence_audit_core::Page;
use confluence_audit_fuzz::{is_json, repeats, value};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// The keys that a page reads; one that stands twice is refused.
const READ: [&str; 5] = ["results", "start", "limit", "size", "_links"];

fuzz_target!(|body: &[u8]| {
    let bytes = Bytes::copy_from_slice(body);
    // A byte-order mark before a page is skipped, which `serde_json` does not.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let whole = value(body);
    let results = whole.as_ref().and_then(|page| page.get("results"));
    match (Page::parse(&bytes, None), results) {
        (Ok(page), Some(Value::Array(elements))) => {
            assert_eq!(page.records.len(), elements.len());
            for (record, element) in page.records.iter().zip(elements) {
                assert!(!record.line().contains(&b'\n'));
                let line: Value = serde_json::from_slice(record.line()).expect("a record is JSON");
                assert_eq!(&line, element);
            }
        }
        // What `serde_json` cannot hold may be a page all the same: raw records hold it.
        (Ok(page), _) => {
            assert!(whole.is_none(), "a page was made of {whole:?}");
            assert!(is_json(body), "a page was made of no JSON");
            for record in &page.records {
                assert!(is_json(record.line()));
                assert!(!record.line().contains(&b'\n'));
            }
        }
        (Err(error), Some(Value::Array(_))) => {
            assert!(repeats(body, &READ), "a page was refused: {error}");
        }
        (Err(_), _) => {}
    }
});
