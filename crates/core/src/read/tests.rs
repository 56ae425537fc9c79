//! The promises of the reading, at a log that misbehaves as it is told.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;

use super::*;
use crate::error::{Error, ErrorKind};
use crate::record::RawRecord;
use crate::time::Timestamp;

/// The newest record at the beginning, and what the log's clock says.
const NOW: i64 = 1_700_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    NewestFirst,
    OldestFirst,
    /// By content, so that time tells nothing.
    Other,
}

/// What the log does wrong, and what the documents leave open.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a quirk of its own")]
struct Quirks {
    order: Order,
    /// The most records of a page, whatever is asked for.
    cap: usize,
    /// It says so of a page with another behind it; else each is said to be the last.
    tells_next: bool,
    includes_start: bool,
    includes_end: bool,
    heeds_offset: bool,
    /// Every page names a next one, the last too.
    endless: bool,
    /// A record arrives at each so many-th request, forty in all: a log that grows faster than it is
    /// read is never read.
    arrives_every: Option<usize>,
    arrives_late_by: i64,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            order: Order::NewestFirst,
            cap: 1000,
            tells_next: true,
            includes_start: true,
            includes_end: true,
            heeds_offset: true,
            endless: false,
            arrives_every: None,
            arrives_late_by: 0,
        }
    }
}

#[derive(Debug)]
struct Log {
    quirks: Quirks,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the log takes a record to have happened, and its text.
    records: Vec<(i64, String)>,
    requests: usize,
    largest_page: usize,
}

fn record(time: i64, number: usize) -> (i64, String) {
    let text = format!(r#"{{"creationDate":{time},"summary":"event {number}"}}"#);
    (time, text)
}

impl Log {
    fn new(quirks: Quirks, records: Vec<(i64, String)>) -> Arc<Self> {
        let state = State {
            records,
            ..State::default()
        };
        Arc::new(Self {
            quirks,
            state: Mutex::new(state),
        })
    }

    fn insert(&self, records: impl IntoIterator<Item = (i64, String)>) {
        self.state.lock().unwrap().records.extend(records);
    }

    fn truth(&self) -> BTreeMap<String, usize> {
        count(
            self.state
                .lock()
                .unwrap()
                .records
                .iter()
                .map(|(_, text)| text.clone()),
        )
    }

    /// The most records of one millisecond.
    fn densest(&self) -> usize {
        let state = self.state.lock().unwrap();
        let times = state.records.iter().map(|(time, _)| time.to_string());
        count(times).into_values().max().unwrap_or(0)
    }

    fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }

    fn page(&self, from: i64, to: Option<i64>, offset: usize) -> SourcePage {
        let quirks = &self.quirks;
        let mut state = self.state.lock().unwrap();
        state.requests += 1;
        let requests = state.requests;
        let arrives = |every| requests.is_multiple_of(every) && requests < 40 * every;
        if quirks.arrives_every.is_some_and(arrives) {
            let time = NOW + i64::try_from(requests).unwrap() - quirks.arrives_late_by;
            state.records.push(record(time, 1_000_000 + requests));
        }
        let in_span = |time: i64| {
            (time > from || quirks.includes_start && time == from)
                && to.is_none_or(|to| time < to || quirks.includes_end && time == to)
        };
        let mut part: Vec<_> = state
            .records
            .iter()
            .filter(|(time, _)| in_span(*time))
            .collect();
        match quirks.order {
            Order::NewestFirst => part.sort_by_key(|(time, _)| std::cmp::Reverse(*time)),
            Order::OldestFirst => part.sort_by_key(|(time, _)| *time),
            Order::Other => part.sort_by_key(|(time, text)| (text.len(), text, *time)),
        }
        let offset = if quirks.heeds_offset { offset } else { 0 };
        let rest = part.get(offset..).unwrap_or_default();
        let records: Vec<_> = rest
            .iter()
            .take(quirks.cap)
            .map(|(_, text)| RawRecord::parse(text.clone()).unwrap())
            .collect();
        let has_next = quirks.endless || quirks.tells_next && rest.len() > quirks.cap;
        state.largest_page = state.largest_page.max(records.len());
        SourcePage {
            records,
            server_time: Some(Timestamp::from_millis(
                NOW + i64::try_from(requests).unwrap(),
            )),
            has_next,
        }
    }
}

#[derive(Debug)]
struct Shared(Arc<Log>);

#[async_trait]
impl Source for Shared {
    fn pages(&self, from: Timestamp, to: Option<Timestamp>) -> Box<dyn SourcePages> {
        Box::new(Pages {
            log: Arc::clone(&self.0),
            from: from.as_millis(),
            to: to.map(Timestamp::as_millis),
            offset: 0,
            ended: false,
        })
    }

    async fn retention(&self) -> Result<Option<Duration>, Error> {
        Ok(None)
    }

    fn largest_page(&self) -> usize {
        self.0.state.lock().unwrap().largest_page
    }
}

struct Pages {
    log: Arc<Log>,
    from: i64,
    to: Option<i64>,
    offset: usize,
    ended: bool,
}

#[async_trait]
impl SourcePages for Pages {
    async fn next(&mut self) -> Result<Option<SourcePage>, Error> {
        if self.ended {
            return Ok(None);
        }
        let page = self.log.page(self.from, self.to, self.offset);
        self.offset += page.records.len();
        self.ended = page.records.is_empty() && !page.has_next;
        Ok(Some(page))
    }

    async fn heeds_offset(&mut self) -> Result<bool, Error> {
        Ok(self.log.quirks.heeds_offset)
    }
}

fn count(texts: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for text in texts {
        *counts.entry(text).or_insert(0) += 1;
    }
    counts
}

/// A collector: what it has, and what it knows of it.
#[derive(Default)]
struct Collector {
    delivered: Vec<String>,
    counts: Counts,
    without_time: u64,
}

impl Collector {
    /// Reads everything from `from` on, and takes what is new.
    async fn run(&mut self, log: &Arc<Log>, from: i64, jobs: usize) -> Result<(), Error> {
        let span = Window {
            from: Timestamp::from_millis(from),
            to: None,
        };
        let source = Arc::new(Shared(Arc::clone(log)));
        let jobs = NonZeroUsize::new(jobs).unwrap();
        let now = Timestamp::from_millis(NOW);
        let mut reader = Reader::new(source, Fingerprinted::of, span, now, None, jobs);
        while let Some(complete) = reader.next().await? {
            let to = complete
                .window
                .to
                .unwrap_or(Timestamp::from_millis(i64::MAX));
            let from = complete.window.from;
            let known = self
                .counts
                .iter()
                .filter(|((time, _), _)| (from..=to).contains(time));
            let known = known.map(|(key, count)| (*key, *count)).collect();
            let difference = difference(complete.records, &known);
            self.without_time += difference.without_time;
            for new in difference.new {
                let known = self.counts.entry((new.time, new.fingerprint)).or_insert(0);
                *known += 1;
                assert_eq!(new.ordinal, *known, "the ordinal is the next one");
                self.delivered
                    .push(String::from_utf8(new.line.to_vec()).unwrap());
            }
        }
        Ok(())
    }

    #[track_caller]
    fn assert_has_all_of(&self, log: &Log) {
        let delivered = count(self.delivered.iter().cloned());
        let truth = log.truth();
        assert_eq!(
            delivered.values().sum::<usize>(),
            truth.values().sum::<usize>()
        );
        assert_eq!(delivered, truth);
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

fn many(count: usize, apart: i64) -> Vec<(i64, String)> {
    (0..count)
        .map(|number| {
            record(
                NOW - 60_000 - i64::try_from(number).unwrap() * apart,
                number,
            )
        })
        .collect()
}

#[test]
fn a_site_that_caps_its_pages_and_says_that_each_is_the_last_loses_nothing() {
    for cap in [1, 7, 200] {
        let quirks = Quirks {
            cap,
            tells_next: false,
            ..Quirks::default()
        };
        let log = Log::new(quirks, many(500, 1_000));
        let mut collector = Collector::default();
        run(collector.run(&log, 0, 1)).unwrap();
        collector.assert_has_all_of(&log);
    }
}

#[test]
fn a_page_that_is_not_full_by_what_the_site_has_shown_costs_no_second_request() {
    let log = Log::new(Quirks::default(), many(1_500, 1_000));
    let mut collector = Collector::default();
    run(collector.run(&log, 0, 1)).unwrap();
    let before = log.requests();
    run(collector.run(&log, NOW - 300_000, 1)).unwrap();
    assert_eq!(log.requests() - before, 1);
    collector.assert_has_all_of(&log);
}

#[test]
fn links_without_an_end_are_an_error_that_says_what_the_service_does() {
    for (records, order) in [
        (vec![], Order::NewestFirst),
        (many(50, 1_000), Order::NewestFirst),
        (many(50, 1_000), Order::OldestFirst),
    ] {
        let quirks = Quirks {
            endless: true,
            order,
            ..Quirks::default()
        };
        let log = Log::new(quirks, records);
        let mut collector = Collector::default();
        match run(collector.run(&log, 0, 1)) {
            Ok(()) => collector.assert_has_all_of(&log),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Paging);
                assert!(error.to_string().contains("100 pages in a row"), "{error}");
            }
        }
        assert!(log.requests() < 500, "{} requests", log.requests());
    }
}

#[test]
fn a_log_that_heeds_neither_window_nor_offset_ends_in_an_error_and_not_in_memory() {
    #[derive(Debug)]
    struct Endless;
    struct Newer(i64);
    #[async_trait]
    impl Source for Endless {
        fn pages(&self, _: Timestamp, _: Option<Timestamp>) -> Box<dyn SourcePages> {
            Box::new(Newer(NOW))
        }
        async fn retention(&self) -> Result<Option<Duration>, Error> {
            Ok(None)
        }
    }
    #[async_trait]
    impl SourcePages for Newer {
        async fn next(&mut self) -> Result<Option<SourcePage>, Error> {
            let records = (0..100).map(|_| {
                self.0 += 1;
                RawRecord::parse(record(self.0, 0).1).unwrap()
            });
            Ok(Some(SourcePage {
                records: records.collect(),
                server_time: Some(Timestamp::from_millis(NOW - 1)),
                has_next: true,
            }))
        }
        async fn heeds_offset(&mut self) -> Result<bool, Error> {
            Ok(false)
        }
    }
    let span = Window {
        from: Timestamp::from_millis(0),
        to: None,
    };
    let now = Timestamp::from_millis(NOW);
    let (source, jobs) = (Arc::new(Endless), NonZeroUsize::MIN);
    let mut reader = Reader::new(source, Fingerprinted::of, span, now, None, jobs);
    let error = run(async {
        loop {
            match reader.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it came to an end"),
                Err(error) => return error,
            }
        }
    });
    assert_eq!(error.kind(), ErrorKind::Paging);
}

#[test]
fn records_that_arrive_during_every_reading_of_an_oldest_first_log_hold_up_none_that_were_there() {
    let quirks = Quirks {
        order: Order::OldestFirst,
        arrives_every: Some(1),
        arrives_late_by: 5_000,
        ..Quirks::default()
    };
    let log = Log::new(quirks, many(2_500, 30_000));
    let there = log.truth();
    let mut collector = Collector::default();
    run(collector.run(&log, 0, 1)).unwrap();
    let delivered = count(collector.delivered.iter().cloned());
    assert!(
        there
            .iter()
            .all(|(text, count)| delivered.get(text) == Some(count))
    );
}

#[test]
fn a_record_without_a_time_or_with_an_impossible_one_is_delivered_once_and_counted() {
    for odd in [
        r#"{"summary":"no time"}"#.to_owned(),
        r#"{"creationDate":-5,"summary":"negative"}"#.to_owned(),
        format!(r#"{{"creationDate":{},"summary":"seconds"}}"#, NOW / 1000),
        format!(r#"{{"creationDate":{NOW}000,"summary":"microseconds"}}"#),
        r#"{"creationDate":123456789012345678901234567890}"#.to_owned(),
        r#"{"creationDate":"yesterday"}"#.to_owned(),
    ] {
        for at in [
            NOW - 60_000 + 5,
            NOW - 60_000 - 5_500,
            NOW - 60_000 - 49_500,
        ] {
            let log = Log::new(Quirks::default(), many(50, 1_000));
            log.insert([(at, odd.clone())]);
            let mut collector = Collector::default();
            run(collector.run(&log, 0, 1)).unwrap();
            collector.assert_has_all_of(&log);
            assert_eq!(collector.without_time, 1);
            // Others arrive around it.
            log.insert([record(at + 1, 900), record(at - 1, 901), record(NOW, 902)]);
            run(collector.run(&log, NOW - 900_000, 1)).unwrap();
            collector.assert_has_all_of(&log);
        }
    }
}

#[test]
fn a_record_that_the_service_has_in_the_far_future_comes_out_once_though_every_answer_holds_it() {
    const FAR: i64 = 734_103_568_384_592_052;
    let log = Log::new(Quirks::default(), many(50, 1_000));
    log.insert((0..200).map(|number| record(FAR, number)));
    let mut collector = Collector::default();
    run(collector.run(&log, 0, 1)).unwrap();
    collector.assert_has_all_of(&log);
    for step in 1..4 {
        log.insert([record(NOW + step * 10_000, 900)]);
        run(collector.run(&log, NOW + step * 5_000, 1)).unwrap();
        collector.assert_has_all_of(&log);
    }
}

fn quirks() -> impl Strategy<Value = Quirks> {
    let order = prop_oneof![
        6 => Just(Order::NewestFirst),
        1 => Just(Order::OldestFirst),
        1 => Just(Order::Other)
    ];
    let cap = prop_oneof![1_usize..6, 6_usize..60, Just(1000)];
    let arrives = prop_oneof![3 => Just(None), 1 => (2_usize..9).prop_map(Some)];
    (order, cap, any::<[bool; 4]>(), arrives, 0_i64..100_000).prop_map(
        |(order, cap, flags, arrives_every, arrives_late_by)| Quirks {
            order,
            // Where more arrives than a page holds, readings would never come to an end.
            cap: if arrives_every.is_some() && order != Order::NewestFirst {
                cap.max(30)
            } else {
                cap
            },
            tells_next: flags[0],
            includes_start: flags[1],
            includes_end: flags[2],
            // Without order there is nothing but the offset to go by.
            heeds_offset: flags[3] || order != Order::NewestFirst || cap < 6,
            endless: false,
            arrives_every,
            arrives_late_by,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever the service does that is not documented, or documented otherwise: 0 lost, 0 twice,
    /// or an error that says that the log cannot be read.
    #[test]
    fn every_record_comes_out_once_or_the_reading_says_that_it_cannot(
        quirks in quirks(),
        steps in prop::collection::vec(prop_oneof![2 => Just(0_i64), 8 => 1_i64..50, 1 => 1_000_000..90_000_000_i64], 0..100),
        late in prop::collection::vec(0_i64..1_000_000, 0..5),
        jobs in 1_usize..4,
    ) {
        let mut time = NOW - 120_000;
        let records = steps.iter().enumerate().map(|(number, step)| {
            time -= step;
            // Some are identical to the byte.
            record(time, number / 3)
        }); let log = Log::new(quirks, records.collect());
        let mut collector = Collector::default();
        let (first, there, second) = run(async {
            let first = collector.run(&log, 0, jobs).await;
            log.insert(late.iter().map(|back| record(NOW - back, 7)));
            (first, log.truth(), collector.run(&log, 0, jobs).await)
        });
        let is_read = second.is_ok();
        for error in [first, second].into_iter().filter_map(Result::err) {
            prop_assert_eq!(error.kind(), ErrorKind::Paging, "{}", error);
        }
        let delivered = count(collector.delivered.iter().cloned());
        let truth = log.truth();
        for (text, count) in &delivered {
            prop_assert!(truth.get(text).is_some_and(|most| count <= most), "twice: {}", text);
        }
        // What arrives at each reading of a log without order may be left to the next run.
        let is_settled = log.quirks.arrives_every.is_none() || log.quirks.order == Order::NewestFirst;
        // More than a page of one millisecond, or too few for the order to show, at a service to
        // which all offsets are one: it is warned of.
        let is_told = !log.quirks.heeds_offset
            && (log.quirks.cap < 20 || log.densest() >= log.quirks.cap);
        if is_read && is_settled && !is_told {
            for (text, count) in &there {
                prop_assert!(delivered.get(text).is_some_and(|got| got >= count), "lost: {}", text);
            }
        }
        // A log that is as documented is read, whatever arrives meanwhile.
        if log.quirks.order == Order::NewestFirst && log.quirks.heeds_offset {
            prop_assert!(is_read);
        }
    }
}
