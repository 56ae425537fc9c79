//! Every format over one corpus of records of every kind, as snapshots.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use confluence_audit_core::RawRecord;
use confluence_audit_formats::{Context, Format, line};

/// What each record is, and its text.
fn corpus() -> Vec<(&'static str, RawRecord)> {
    let lines: Vec<&str> = include_str!("corpus.txt").lines().collect();
    let pairs = lines.chunks(2).map(|pair| {
        let name = pair[0]
            .strip_prefix("# ")
            .expect("a name before each record");
        (name, RawRecord::parse(pair[1]).expect("a record"))
    });
    pairs.collect()
}

fn written(format: Format) -> String {
    let mut out = format
        .header()
        .map(|header| format!("{header}\n\n"))
        .unwrap_or_default();
    for (name, record) in corpus() {
        let mut context = Context::new("acme", "1324a887-45db-1bf4-1e99-ef0ff456d421", &record);
        context.url = Some("https://acme.atlassian.net");
        // The snapshots of `ecs` and `ocsf` are read; the text of the record is just above.
        context.original = name == "a space is created";
        let line = line(format, &record, &context);
        let text = std::str::from_utf8(&line.bytes).expect("UTF-8");
        let mark = if line.fits { "" } else { " (unfit)" };
        writeln!(out, "# {name}{mark}\n{text}").expect("a string takes all");
    }
    out
}

macro_rules! snapshots {
    ($($name:ident $format:ident)*) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!(written(Format::$format));
        }
    )*};
}

snapshots! {
    raw Raw
    flat Flat
    ecs Ecs
    ocsf Ocsf
    cef Cef
    csv Csv
}

#[test]
fn what_does_not_fit_is_marked_and_carries_the_whole_record() {
    let mut unfit = 0;
    for (name, record) in corpus() {
        let context = Context {
            original: false,
            ..Context::new("acme", "site", &record)
        };
        for format in Format::ALL {
            let line = line(*format, &record, &context);
            if line.fits {
                continue;
            }
            unfit += 1;
            let text = String::from_utf8(line.bytes.to_vec()).unwrap();
            let whole = match format {
                Format::Csv => record.as_str().replace('"', "\"\""),
                Format::Cef => record.as_str().replace('\\', "\\\\").replace('=', "\\="),
                _ => serde_json::Value::from(record.as_str()).to_string(),
            };
            assert!(text.contains(&whole), "{name} as {format}: {text}");
        }
    }
    assert!(unfit > 40, "{unfit}");
}
