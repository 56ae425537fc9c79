//! What is made of a page: its records typed, its numbers, its link.

use confluence_audit_core::{AuditQuery, Page, RawRecord};
use serde_json::{Value, json};
use tracing_subscriber::filter::LevelFilter;

use crate::fixture::Fixture;
use crate::log::Log;
use crate::site::{AUDIT, Site};

/// A page as the client decoded it, in a form to look at.
fn shown(page: &Page) -> Value {
    let records: Vec<Value> = page
        .records
        .iter()
        .map(|record| {
            let time = record.time().map(|time| time.to_string());
            match record.record() {
                Ok(typed) => json!({"time": time, "typed": typed}),
                Err(error) => json!({
                    "time": time,
                    "line": record.as_str(),
                    "untyped": chain(&error),
                }),
            }
        })
        .collect();
    json!({
        "start": page.start,
        "limit": page.limit,
        "size": page.size,
        "next": page.next,
        "is_last": page.is_last(),
        "records": records,
    })
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

async fn page(fixture: &str) -> Page {
    let site = Site::serving([fixture]).await;
    site.client().audit(&AuditQuery::new()).await.unwrap()
}

#[tokio::test]
async fn a_byte_that_is_not_utf8_is_replaced_and_costs_no_record() {
    let page = page("errors/200-not-utf8").await;
    let lines: Vec<&str> = page.records.iter().map(RawRecord::as_str).collect();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("H\u{fffd}fen"), "{}", lines[0]);
    assert_eq!(
        page.records[0].time().unwrap().as_millis(),
        1_767_261_600_000
    );
}

macro_rules! decoded {
    ($($test:ident: $fixture:literal,)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                insta::assert_json_snapshot!($fixture, shown(&page(concat!("audit/", $fixture)).await));
            }
        )*
    };
}

decoded! {
    a_page_of_people_is_decoded_in_full: "first-page",
    records_of_the_system_have_no_account: "system-author",
    account_ids_of_every_form_are_kept: "account-id-forms",
    the_newer_vintage_with_guests_is_decoded: "guest-vintage",
    operations_are_kept_in_every_form: "operations",
    a_time_written_as_a_string_is_a_time: "creation-date-string",
    a_record_with_required_fields_only_is_decoded: "required-fields-only",
    fields_that_nobody_knows_are_kept: "unknown-fields",
    empty_addresses_and_objects_are_no_error: "empty-remote-address",
    escapes_of_every_form_mean_what_they_say: "odd-escapes",
    text_in_utf8_is_kept: "non-ascii-raw",
    a_record_of_another_shape_is_handed_out_raw: "records-of-other-shapes",
    a_repeated_key_leaves_the_raw_record: "repeated-key",
    numbers_that_fit_no_type_leave_the_raw_record: "odd-numbers",
    an_empty_log_is_an_empty_page: "empty-log",
}

#[tokio::test]
async fn hostile_text_is_data() {
    // Escaped here, for a snapshot is looked at in terminals and editors.
    let page = page("audit/hostile-strings").await;
    let typed = page.records.iter().map(|record| record.record().unwrap());
    let shown: Vec<_> = typed
        .map(|record| {
            let values = record.changed_values.iter();
            let values = values.flat_map(|value| [&value.old_value, &value.new_value]);
            [&record.summary, &record.affected_object.name]
                .into_iter()
                .chain(values)
                .map(|text| text.escape_default().to_string())
                .collect::<Vec<_>>()
                .join("\n  ")
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

/// The records of a page as lines.
fn lines(page: &Page) -> Vec<&str> {
    page.records.iter().map(RawRecord::as_str).collect()
}

#[tokio::test]
async fn the_layout_of_the_json_changes_no_record() {
    let plain = page("audit/single-page").await;
    assert_eq!(plain.records.len(), 5);
    for fixture in ["audit/pretty-printed", "audit/surrounding-whitespace"] {
        let other = page(fixture).await;
        let count = other.records.len();
        assert_eq!(lines(&other), lines(&plain)[..count], "{fixture}");
        assert!(count >= 3, "{fixture}");
    }
}

#[tokio::test]
async fn escaped_and_raw_text_are_the_same_text_and_keep_their_spelling() {
    let (raw, escaped) = (
        page("audit/non-ascii-raw").await,
        page("audit/non-ascii-escaped").await,
    );
    assert_eq!(raw.records.len(), escaped.records.len());
    for (raw, escaped) in raw.records.iter().zip(&escaped.records) {
        assert_eq!(raw.record().unwrap(), escaped.record().unwrap());
        assert_ne!(raw, escaped);
        assert!(escaped.line().is_ascii() && !raw.line().is_ascii());
        assert_eq!(raw.fingerprint(), escaped.fingerprint());
    }
}

#[tokio::test]
async fn another_order_of_keys_is_the_same_record_in_its_own_order() {
    let (plain, other) = (
        page("audit/first-page").await,
        page("audit/other-key-order").await,
    );
    for (plain, other) in plain.records.iter().zip(&other.records) {
        assert_eq!(plain.record().unwrap(), other.record().unwrap());
        assert!(other.as_str().starts_with(r#"{"associatedObjects""#));
    }
    assert_eq!(other.records.len(), 3);
}

#[tokio::test]
async fn twins_are_handed_out_as_often_as_they_happened() {
    let page = page("audit/twins").await;
    assert_eq!(page.records.len(), 6);
    let twins = page
        .records
        .iter()
        .filter(|record| *record == &page.records[1])
        .count();
    assert!(twins > 1, "{twins}");
}

#[tokio::test]
async fn the_order_of_the_answer_is_kept_either_way() {
    let times = |page: &Page| -> Vec<_> { page.records.iter().map(RawRecord::time).collect() };
    let newest_first = times(&page("audit/first-page").await);
    assert!(newest_first.is_sorted_by(|a, b| a > b));
    let oldest_first = times(&page("audit/oldest-first").await);
    assert!(oldest_first.is_sorted() && oldest_first.len() == 3);
}

#[tokio::test]
async fn a_very_long_string_is_neither_cut_nor_refused() {
    let page = page("audit/long-strings").await;
    let fixture = Fixture::read("audit/long-strings").body;
    let lengths: usize = page.records.iter().map(|record| record.line().len()).sum();
    assert!(lengths > 150_000 && lengths < fixture.len(), "{lengths}");
    for record in &page.records {
        record.record().unwrap();
    }
}

#[tokio::test]
async fn odd_page_numbers_leave_the_records_readable() {
    let page = page("errors/200-page-numbers-odd").await;
    assert_eq!(page.records.len(), 1);
    assert_eq!((page.start, page.limit, page.size), (Some(0), None, None));
    assert!(!page.is_last());
}

#[tokio::test]
async fn the_servers_clock_is_read_from_its_own_header() {
    let site = Site::start().await;
    let template = Fixture::read("audit/single-page").template();
    let template = template.insert_header("date", "Thu, 01 Jan 2026 10:00:05 GMT");
    site.responds("GET", AUDIT, 1, template).await;
    let page = site.client().audit(&AuditQuery::new()).await.unwrap();
    let time = page.server_time.unwrap();
    assert_eq!(time.to_string(), "2026-01-01T10:00:05.000Z");
}

#[tokio::test]
async fn a_limit_that_is_nearly_reached_fails_nothing() {
    let site = Site::serving(["audit/rate-limit-near"]).await;
    let page = site.client().audit(&AuditQuery::new()).await.unwrap();
    assert!(!page.records.is_empty());
    assert!(site.clock.waits().is_empty());
}

#[tokio::test]
async fn an_announcement_behind_another_warning_is_said_too() {
    let log = Log::begin(LevelFilter::WARN);
    let site = Site::start().await;
    let template = Fixture::read("audit/single-page").template();
    let template = template
        .append_header("warning", "110 - \"Response is Stale\"")
        .append_header("warning", "299 - \"to be removed\"");
    site.responds("GET", AUDIT, 1, template).await;
    site.client().audit(&AuditQuery::new()).await.unwrap();
    let log = log.text();
    assert!(log.contains("to be removed"), "{log}");
}

#[tokio::test]
async fn a_byte_order_mark_is_no_part_of_the_json() {
    let marked = page("audit/byte-order-mark").await;
    let plain = page("audit/first-page").await;
    assert_eq!(lines(&marked), lines(&plain));
}

#[tokio::test]
async fn a_deprecation_is_said_once_and_fails_nothing() {
    let log = Log::begin(LevelFilter::WARN);
    let site = Site::serving(["audit/deprecation-warning"; 3]).await;
    for _ in 0..3 {
        let page = site.client().audit(&AuditQuery::new()).await.unwrap();
        assert!(!page.records.is_empty());
    }
    let log = log.text();
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(
        log.contains("WARN") && log.contains("endpoint is going to be removed"),
        "{log}"
    );
}
