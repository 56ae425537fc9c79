//! What every record goes through, alone: for `cargo xtask bench`, which runs it by itself for its
//! speed and under callgrind for its instructions.
//!
//! `hot_path speed` prints megabytes a second of each step; `hot_path STEP TIMES` does one step so
//! often.

#[path = "../benches/page/mod.rs"]
mod page;

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use confluence_audit_core::{Error, Page, RawRecord};
use confluence_audit_formats::{Context, Format, line, raw};

/// How often the speed of a step is taken; the median counts.
const ROUNDS: usize = 15;
/// How many copies of the page are gone through in turn: more than a processor's cache holds.
const PAGES: usize = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["speed"] => speed(),
        [step, times] => {
            let work = Work::new(1)?;
            let times: usize = times.parse()?;
            for _ in 0..times {
                work.step(step, 0)?;
            }
            Ok(())
        }
        _ => Err("say `speed`, or a step and how often".into()),
    }
}

fn steps() -> impl Iterator<Item = &'static str> {
    let formats = Format::ALL.iter().map(|format| format.as_str());
    ["memcpy", "hot-path", "split", "fingerprint"]
        .into_iter()
        .chain(formats)
}

#[expect(clippy::cast_precision_loss, reason = "it is a rate")]
fn speed() -> Result<(), Box<dyn std::error::Error>> {
    let work = Work::new(PAGES)?;
    let mut rates: Vec<Vec<f64>> = steps().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (step, rates) in steps().zip(&mut rates) {
            let began = Instant::now();
            for page in 0..PAGES {
                work.step(step, page)?;
            }
            rates.push((work.pages[0].len() * PAGES) as f64 / began.elapsed().as_secs_f64() / 1e6);
        }
    }
    for (step, rates) in steps().zip(&mut rates) {
        rates.sort_by(f64::total_cmp);
        println!("{step} {:.0}", rates[ROUNDS / 2]);
    }
    Ok(())
}

struct Work {
    pages: Vec<Bytes>,
    records: Vec<RawRecord>,
}

impl Work {
    fn new(pages: usize) -> Result<Self, Error> {
        let page = page::page();
        let pages: Vec<_> = (0..pages).map(|_| Bytes::copy_from_slice(&page)).collect();
        Ok(Self {
            records: Page::parse(&page, None)?.records,
            pages,
        })
    }

    fn step(&self, step: &str, page: usize) -> Result<(), Box<dyn std::error::Error>> {
        let page = &self.pages[page];
        match step {
            "memcpy" => drop(black_box(page.to_vec())),
            "split" => drop(black_box(Page::parse(page, None)?)),
            // All that a page goes through on its way into a file.
            "hot-path" => {
                for record in Page::parse(page, None)?.records {
                    black_box((record.time(), record.fingerprint(), raw::line(&record)));
                }
            }
            "fingerprint" => {
                for record in &self.records {
                    black_box(record.fingerprint());
                }
            }
            format => {
                let format: Format = format.parse().map_err(|_| "no step is called so")?;
                for record in &self.records {
                    let context = Context::new("bench", "0a1b", record);
                    black_box(line(format, record, &context));
                }
            }
        }
        Ok(())
    }
}
