//! Whatever a record is, it comes out as one line that an independent reader understands.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod readers;
mod records;
mod schemas;

use confluence_audit_core::RawRecord;
use confluence_audit_formats::{Context, Format, Line, csv, line};
use proptest::prelude::*;
use serde_json::{Value, json};

use readers::{read_cef, read_csv};
use records::{any_record, real};
use schemas::{ecs_types, no_empty_value, ocsf_rules};

fn written(format: Format, record: &Value) -> (RawRecord, Line, String) {
    let raw = RawRecord::parse(record.to_string()).unwrap();
    let mut context = Context::new("ac|me=", "0a1b\\", &raw);
    context.url = Some("https://acme.atlassian.net");
    let line = line(format, &raw, &context);
    let text = String::from_utf8(line.bytes.to_vec()).unwrap();
    (raw, line, text)
}

/// What is left of a text where the format has no way to write some characters.
fn blanked(text: &str, line_breaks: bool) -> String {
    let blank = |char: char| {
        (char.is_control() && (line_breaks || !"\n\r".contains(char)))
            || ('\u{2028}'..='\u{202e}').contains(&char)
            || ('\u{2066}'..='\u{2069}').contains(&char)
    };
    text.chars()
        .map(|char| if blank(char) { ' ' } else { char })
        .collect()
}

proptest! {
    #[test]
    fn any_record_is_one_safe_line_and_the_same_one_again(record in any_record()) {
        for format in Format::ALL {
            let (_, line, text) = written(*format, &record);
            prop_assert!(!text.is_empty());
            if *format != Format::Raw {
                let steers = |char: char| char.is_control() || "\u{2028}\u{2029}\u{202e}".contains(char);
                prop_assert!(!text.contains(steers), "{}: {:?}", format, text);
            }
            prop_assert_eq!(line, written(*format, &record).1);
        }
    }

    #[test]
    fn a_record_of_the_real_form_fits(record in real()) {
        for format in Format::ALL {
            prop_assert!(written(*format, &record).1.fits, "{}", format);
        }
    }

    #[test]
    fn what_does_not_fit_can_be_had_back(record in any_record()) {
        for (format, path) in [
            (Format::Flat, "/collector.record"),
            (Format::Ecs, "/event/original"),
            (Format::Ocsf, "/raw_data"),
        ] {
            let (raw, line, text) = written(format, &record);
            let value: Value = serde_json::from_str(&text).unwrap();
            if !line.fits {
                prop_assert_eq!(value.pointer(path), Some(&Value::from(raw.as_str())));
            }
        }
        let (_, line, text) = written(Format::Cef, &record);
        let (header, pairs) = read_cef(&text);
        prop_assert_eq!(line.fits, header[4] != "unfit" || pairs.iter().all(|(key, _)| key != "cs6"));
        if let Some((_, json)) = pairs.iter().find(|(key, _)| key == "cs6") {
            prop_assert_eq!(serde_json::from_str::<Value>(json).unwrap(), record.clone());
        }
        let (_, line, text) = written(Format::Csv, &record);
        if !line.fits {
            let cells = read_csv(&text);
            let json = cells[14].strip_prefix('\'').unwrap_or(&cells[14]);
            prop_assert_eq!(serde_json::from_str::<Value>(json).unwrap(), record);
        }
    }

    #[test]
    fn ecs_and_ocsf_have_no_empty_value_and_every_field_its_type(record in any_record()) {
        let (_, _, text) = written(Format::Ecs, &record);
        let value: Value = serde_json::from_str(&text).unwrap();
        prop_assert!(no_empty_value(&value));
        ecs_types(&value);
        let (_, _, text) = written(Format::Ocsf, &record);
        let value: Value = serde_json::from_str(&text).unwrap();
        prop_assert!(no_empty_value(&value));
        ocsf_rules(&value);
    }

    #[test]
    fn cef_says_of_every_field_what_the_record_says(record in real()) {
        let (_, _, text) = written(Format::Cef, &record);
        let (header, pairs) = read_cef(&text);
        prop_assert_eq!(&header[..4], ["CEF:0", "Atlassian", "Confluence", "Cloud"]);
        let name = match record["summary"].as_str().unwrap() {
            "" => "Audit record".to_owned(),
            summary => blanked(summary, true),
        };
        prop_assert_eq!(&header[4..6], [name.clone(), name]);
        prop_assert!((0..=10).contains(&header[6].parse::<u8>().unwrap()));
        let known = [
            "rt", "cat", "suid", "suser", "src", "c6a2Label", "c6a2", "shost", "duser", "outcome",
            "msg", "cs1Label", "cs1", "cs2Label", "cs2", "cs3Label", "cs3", "cs4Label", "cs4",
            "externalId", "cn1Label", "cn1", "deviceExternalId", "cs5Label", "cs5", "dvchost",
        ];
        let keys: Vec<&str> = pairs.iter().map(|(key, _)| key.as_str()).collect();
        let mut expected = known.to_vec();
        expected.retain(|key| keys.contains(key));
        prop_assert_eq!(keys, expected, "each key once, and none that a value forged");
        for (key, path) in [
            ("cat", "/category"), ("suid", "/author/accountId"), ("suser", "/author/displayName"),
            ("msg", "/description"), ("cs1", "/affectedObject/name"),
        ] {
            let value = pairs.iter().find(|pair| pair.0 == key).map_or("", |pair| &pair.1);
            let told = record.pointer(path).and_then(Value::as_str).unwrap_or_default();
            prop_assert_eq!(value, blanked(told, false), "{}", key);
        }
    }

    #[test]
    fn csv_has_the_columns_of_its_header_and_no_formula(record in any_record()) {
        let (_, _, text) = written(Format::Csv, &record);
        let cells = read_csv(&text);
        prop_assert_eq!(cells.len(), read_csv(csv::HEADER).len());
        for cell in &cells {
            prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{:?}", cell);
        }
    }

    #[test]
    fn flat_has_one_key_for_each_leaf_and_no_object(record in real()) {
        let (_, _, text) = written(Format::Flat, &record);
        let value: Value = serde_json::from_str(&text).unwrap();
        prop_assert!(value.as_object().unwrap().values().all(|value| !value.is_object()));
        prop_assert_eq!(&value["author.displayName"], &record["author"]["displayName"]);
        let names: Vec<&Value> =
            record["changedValues"].as_array().unwrap().iter().map(|change| &change["name"]).collect();
        match names.as_slice() {
            [] => prop_assert_eq!(&value["changedValues"], &json!([])),
            names => prop_assert_eq!(&value["changedValues.name"], &json!(names)),
        }
    }
}
