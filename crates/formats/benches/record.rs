//! What one record costs on its way: found in its page, named, written in each form.
//!
//! `cargo bench --package confluence-audit-formats`. How the whole program compares with others is
//! what `cargo xtask bench` measures.

mod page;

use confluence_audit_core::{Page, RawRecord};
use confluence_audit_formats::{Context, Format, line};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

use self::page::page;

fn main() {
    divan::main();
}

fn records() -> Vec<RawRecord> {
    Page::parse(&page(), None).map_or_else(|_| Vec::new(), |page| page.records)
}

fn each<T>(bencher: Bencher<'_, '_>, make: impl Fn(&RawRecord, &Context<'_>) -> T) {
    let records = records();
    let contexts: Vec<_> = records
        .iter()
        .map(|record| Context::new("bench", "0a1b", record))
        .collect();
    let bytes: usize = records.iter().map(|record| record.line().len()).sum();
    bencher
        .counter(BytesCount::new(bytes))
        .counter(ItemsCount::new(records.len()))
        .bench_local(|| {
            for (record, context) in records.iter().zip(&contexts) {
                divan::black_box(make(record, context));
            }
        });
}

#[divan::bench]
fn memcpy(bencher: Bencher<'_, '_>) {
    let page = page();
    let mut copy = vec![0; page.len()];
    bencher
        .counter(BytesCount::new(page.len()))
        .bench_local(|| divan::black_box(&mut copy).copy_from_slice(divan::black_box(&page)));
}

#[divan::bench]
fn split(bencher: Bencher<'_, '_>) {
    let page = page();
    bencher
        .counter(BytesCount::new(page.len()))
        .bench_local(|| Page::parse(divan::black_box(&page), None));
}

#[divan::bench]
fn fingerprint(bencher: Bencher<'_, '_>) {
    each(bencher, |record, _| record.fingerprint());
}

#[divan::bench(args = Format::ALL.iter().copied())]
fn format(bencher: Bencher<'_, '_>, format: Format) {
    each(bencher, |record, context| line(format, record, context));
}
