//! The promises of delivery: each output gets all of its own, in order, whatever others do.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use confluence_audit_core::{RawRecord, Runtime as _, SystemRuntime, Timestamp};
use confluence_audit_formats::Format;

use super::*;
use crate::config::Config;
use crate::delivery::backpressure::wait_for_capacity;
use crate::output::OutputName;
use crate::output::{BatchLimits, Delivered, Entry, Output};
use crate::spool::{Commit, SqliteSpool};
use crate::{ErrorKind, SiteId};
use confluence_audit_core::read::NewRecord;

/// What an output has got, and whether it works.
#[derive(Clone, Default)]
struct Destination(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lines: Vec<Bytes>,
    broken: bool,
    /// What is wrong is mended by time.
    passing: bool,
    /// How long it takes for a batch.
    slow: Duration,
    tries: usize,
    /// How many entries each batch had.
    batches: Vec<usize>,
}

impl Destination {
    fn set_broken(&self, broken: bool) {
        self.0.lock().unwrap().broken = broken;
    }

    fn lines(&self) -> Vec<Bytes> {
        self.0.lock().unwrap().lines.clone()
    }

    fn tries(&self) -> usize {
        self.0.lock().unwrap().tries
    }
}

struct Fake(OutputName, Destination);

impl Fake {
    fn try_it(&self) -> Result<std::sync::MutexGuard<'_, State>> {
        let mut state = self.1.0.lock().unwrap();
        state.tries += 1;
        if state.broken {
            let kind = if state.passing {
                ErrorKind::OutputUnavailable
            } else {
                ErrorKind::Io
            };
            return Err(Error::new(kind, format!("{} is full", self.0), ""));
        }
        Ok(state)
    }
}

#[async_trait]
impl Output for Fake {
    fn name(&self) -> &OutputName {
        &self.0
    }

    async fn check(&mut self) -> Result<String> {
        self.try_it().map(|_| String::new())
    }

    async fn prepare(&mut self) -> Result<()> {
        self.try_it().map(drop)
    }

    async fn deliver(&mut self, entries: &[Entry], _: Option<&[u8]>) -> Result<Delivered> {
        let slow = self.1.0.lock().unwrap().slow;
        SystemRuntime.sleep(slow).await;
        let mut state = self.try_it()?;
        state.batches.push(entries.len());
        let lines = entries.iter().map(|entry| entry.line.clone());
        state.lines.extend(lines);
        Ok(Delivered {
            lines: entries.len(),
            ..Delivered::default()
        })
    }
}

/// A spool and two outputs.
struct Harness {
    _dir: tempfile::TempDir,
    spool: SqliteSpool,
    places: [Destination; 2],
    sources: [Source; 2],
    /// The sites whose ids are known from the start.
    found: Vec<&'static str>,
    formats: [Format; 2],
    batch: BatchLimits,
    committed: Vec<Bytes>,
}

impl Harness {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            spool: SqliteSpool::open(dir.path()).unwrap(),
            _dir: dir,
            places: Default::default(),
            sources: [Source::All, Source::All],
            found: Vec::new(),
            formats: [Format::Raw; 2],
            batch: BatchLimits::default(),
            committed: Vec::new(),
        }
    }

    async fn delivery(&self) -> Delivery {
        let routes = std::iter::zip(["a", "b"], &self.places)
            .zip(std::iter::zip(&self.sources, self.formats))
            .map(|((name, place), (source, format))| Route {
                format,
                source: source.clone(),
                batch: self.batch,
                ..Route::new(Box::new(Fake(OutputName::new(name), place.clone())))
            });
        let delivery = Delivery::prepare(routes.collect(), &self.spool, &Counters::default()).await;
        let delivery = delivery.unwrap();
        for site in &self.found {
            found(&delivery.progress(), site);
        }
        delivery
    }

    async fn commit(&mut self, site: &str) {
        let time = Timestamp::from_millis(self.committed.len().try_into().unwrap());
        let line = format!(r#"{{"creationDate":{}}}"#, time.as_millis());
        let record = RawRecord::parse(line).unwrap();
        let line = record.line().clone();
        self.committed.push(line.clone());
        let commit = Commit {
            largest_page: None,
            from: Timestamp::from_millis(0),
            records: vec![NewRecord {
                time,
                fingerprint: record.fingerprint(),
                ordinal: 1,
                line,
            }],
            watermark: time,
            forget_before: Timestamp::from_millis(0),
            rereads: Vec::new(),
        };
        let site = SiteId::new(site);
        self.spool.commit(&site, commit).await.unwrap();
    }

    /// Asks for room for one byte while the outputs are at work.
    async fn wait_for_capacity(&self, delivery: &mut Delivery) -> Result<()> {
        let progress = delivery.progress();
        let asking = wait_for_capacity(1, &self.spool, &progress);
        let retry = DeliveryRetry::RUN;
        let room = delivery.run_beside(asking, &self.spool, retry, &SystemRuntime);
        room.await.unwrap()
    }

    async fn waiting(&self) -> u64 {
        self.spool.depth().await.unwrap().records
    }
}

/// Reports a site whose name is its id in capitals.
fn found(progress: &Progress, id: &str) {
    let config = format!(
        r#"
        [[site]]
        name = "{}"
        url = "https://{id}.atlassian.net"
        auth = {{ kind = "api-token", email = "a@example.com", token_file = "/t" }}
        "#,
        id.to_uppercase()
    );
    let config = Config::from_toml(&config, "config.toml").unwrap();
    progress.site_found(SiteId::new(id), &config.sites[0]);
}

fn behind(delivery: &Delivery) -> Vec<String> {
    let outputs = delivery.progress().outputs().into_iter();
    let behind = outputs.filter(|output| output.is_behind);
    behind.map(|output| output.name.to_string()).collect()
}

#[tokio::test]
async fn an_output_that_fails_holds_up_no_other_and_gets_what_it_lacks_in_order() {
    let mut world = Harness::new();
    let mut delivery = world.delivery().await;
    world.places[0].set_broken(true);
    let tries = world.places[0].tries();
    for _ in 0..3 {
        world.commit("site").await;
        delivery.drain(&world.spool, &SystemRuntime).await.unwrap();
    }
    assert_eq!(world.places[0].tries(), tries + 1, "it is left in peace");
    assert!(!delivery.has_stopped());
    assert_eq!(world.places[1].lines(), world.committed);
    assert_eq!(world.waiting().await, 3);

    let failures = delivery.take_failures();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].to_string(), "a is full");
    world.places[0].set_broken(false);
    delivery.drain(&world.spool, &SystemRuntime).await.unwrap();
    assert_eq!(world.places[0].lines(), world.committed);
    assert_eq!(world.waiting().await, 0);
    assert_eq!(delivery.take_failures().len(), 0);
}

#[tokio::test]
async fn an_output_that_was_never_ready_gets_what_was_committed_meanwhile() {
    let mut world = Harness::new();
    world.places[0].set_broken(true);
    let mut delivery = world.delivery().await;
    world.commit("site").await;
    delivery.drain(&world.spool, &SystemRuntime).await.unwrap();
    assert_eq!(world.places[1].lines(), world.committed);
    world.places[1].set_broken(true);
    let delivery = world.delivery().await;
    assert!(delivery.has_stopped());

    world.places[0].set_broken(false);
    let mut delivery = world.delivery().await;
    delivery.drain(&world.spool, &SystemRuntime).await.unwrap();
    assert_eq!(world.places[0].lines(), world.committed);
}

#[tokio::test]
async fn a_full_spool_has_room_again_when_the_output_that_held_it_up_works_again() {
    let mut world = Harness::new();
    let mut delivery = world.delivery().await;
    world.places[0].set_broken(true);
    world.commit("site").await;
    delivery.drain(&world.spool, &SystemRuntime).await.unwrap();
    for _ in 0..2 {
        let full = world.wait_for_capacity(&mut delivery).await.unwrap_err();
        assert_eq!(full.kind(), ErrorKind::SpoolFull);
        assert!(full.to_string().contains("wait for a,"), "{full}");
        assert_eq!(behind(&delivery), ["a"]);
    }
    world.places[0].set_broken(false);
    world.wait_for_capacity(&mut delivery).await.unwrap();
    assert_eq!(world.places[0].lines(), world.committed);
    assert_eq!(world.waiting().await, 0);
    assert_eq!(delivery.take_failures().len(), 0);
}

#[tokio::test]
async fn an_output_of_one_site_gets_its_records_alone() {
    let mut world = Harness::new();
    world.sources[0] = Source::Site("ONE".into());
    world.found = vec!["one"];
    let mut delivery = world.delivery().await;
    for site in ["one", "two", "one"] {
        world.commit(site).await;
    }
    delivery.drain(&world.spool, &SystemRuntime).await.unwrap();
    let all = &world.committed;
    assert_eq!(world.places[0].lines(), [all[0].clone(), all[2].clone()]);
    assert_eq!(world.places[1].lines(), *all);
    assert_eq!(world.waiting().await, 0);
}

#[tokio::test]
async fn an_output_of_a_site_that_is_not_found_passes_over_nothing_that_may_be_its_own() {
    let mut world = Harness::new();
    world.sources[0] = Source::Site("ONE".into());
    world.found = vec!["two"];
    let mut delivery = world.delivery().await;
    for site in ["two", "one", "two"] {
        world.commit(site).await;
        delivery.drain(&world.spool, &SystemRuntime).await.unwrap();
    }
    assert_eq!(world.waiting().await, 2, "the other's first is not for it");
    assert_eq!(behind(&delivery), ["a"]);
    assert_eq!(world.places[1].lines(), world.committed);

    found(&delivery.progress(), "one");
    delivery.drain(&world.spool, &SystemRuntime).await.unwrap();
    assert_eq!(world.places[0].lines(), world.committed[1..2]);
    assert_eq!(world.waiting().await, 0);
    assert_eq!(behind(&delivery).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_site_that_is_found_starts_its_output_and_disturbs_no_other() {
    let mut world = Harness::new();
    world.sources[0] = Source::Site("ONE".into());
    world.places[1].0.lock().unwrap().slow = Duration::from_mins(1);
    let mut delivery = world.delivery().await;
    for site in ["one", "two"] {
        world.commit(site).await;
    }
    let progress = delivery.progress();
    let (spool, places) = (world.spool.clone(), world.places.clone());
    let finding = async {
        SystemRuntime.sleep(Duration::from_secs(30)).await;
        assert_eq!(places[0].lines().len(), 0, "it may be another's");
        found(&progress, "one");
        SystemRuntime.sleep(Duration::from_secs(1)).await;
        let at_once = places[0].lines();
        SystemRuntime.sleep(Duration::from_mins(1)).await;
        at_once
    };
    let retry = DeliveryRetry::DAEMON;
    let at_once = while_delivering(&mut delivery, &spool, retry, finding).await;
    assert_eq!(at_once, world.committed[..1]);
    assert_eq!(world.places[1].tries(), 2, "made ready, and one batch");
    assert_eq!(world.places[1].lines(), world.committed);
}

#[tokio::test]
async fn each_output_has_its_own_format_and_a_line_names_the_site_as_it_is_configured() {
    let mut world = Harness::new();
    world.formats[1] = Format::Ecs;
    let mut delivery = world.delivery().await;
    found(&delivery.progress(), "one");
    for site in ["one", "two"] {
        world.commit(site).await;
    }
    delivery.drain(&world.spool, &SystemRuntime).await.unwrap();
    assert_eq!(world.places[0].lines(), world.committed);
    let accounts: Vec<String> = world.places[1]
        .lines()
        .iter()
        .map(|line| {
            let document: serde_json::Value = serde_json::from_slice(line).unwrap();
            format!("{} {}", document["cloud"], document["service"])
        })
        .collect();
    assert_eq!(
        accounts,
        [
            r#"{"account":{"id":"one","name":"ONE"}} {"address":"https://one.atlassian.net"}"#,
            r#"{"account":{"id":"two","name":"two"}} null"#,
        ]
    );
}

/// Delivers while `work` goes on, and until the outputs have all of it.
async fn while_delivering<T>(
    delivery: &mut Delivery,
    spool: &SqliteSpool,
    retry: DeliveryRetry,
    work: impl Future<Output = T>,
) -> T {
    let done = delivery.run_beside(work, spool, retry, &SystemRuntime);
    done.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_slow_output_holds_up_neither_the_reading_nor_another_output() {
    let mut world = Harness::new();
    let minute = Duration::from_mins(1);
    world.places[0].0.lock().unwrap().slow = minute;
    let mut delivery = world.delivery().await;
    let (progress, spool) = (delivery.progress(), world.spool.clone());
    let began = tokio::time::Instant::now();
    let place = world.places[1].clone();
    let read = while_delivering(&mut delivery, &spool, DeliveryRetry::RUN, async {
        for number in 1..=20 {
            world.commit("site").await;
            progress.committed(1).await;
            assert!(place.lines().len() + 1 >= number, "read on for nobody");
        }
        began.elapsed()
    })
    .await;
    assert!(read < minute, "the reading took {read:?}");
    assert_eq!(world.places[0].lines(), world.committed);
    assert_eq!(world.places[1].lines(), world.committed);
    assert_eq!(world.waiting().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_tries_again_what_time_may_mend_and_gives_up_within_its_budget() {
    let mut world = Harness::new();
    let mut delivery = world.delivery().await;
    world.commit("site").await;
    {
        let mut state = world.places[0].0.lock().unwrap();
        (state.broken, state.passing) = (true, true);
    }
    let before = world.places[0].tries();
    delivery.drain(&world.spool, &SystemRuntime).await.unwrap();
    assert_eq!(world.places[0].tries() - before, 5);
    assert_eq!(delivery.progress().outputs()[0].counters.failures.get(), 5);
    assert_eq!(delivery.take_failures().len(), 1, "one failure is told");

    let spool = world.spool.clone();
    let place = world.places[0].clone();
    let mending = async {
        SystemRuntime.sleep(Duration::from_secs(1)).await;
        place.set_broken(false);
    };
    while_delivering(&mut delivery, &spool, DeliveryRetry::RUN, mending).await;
    assert_eq!(world.places[0].lines(), world.committed);
    assert_eq!(delivery.take_failures().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_tries_again_for_as_long_as_it_takes_whatever_is_wrong() {
    let mut world = Harness::new();
    world.places[0].set_broken(true);
    let mut delivery = world.delivery().await;
    world.commit("site").await;
    let spool = world.spool.clone();
    let place = world.places[0].clone();
    let day = async {
        SystemRuntime.sleep(Duration::from_hours(24)).await;
        place.set_broken(false);
        SystemRuntime.sleep(Duration::from_mins(7)).await;
    };
    while_delivering(&mut delivery, &spool, DeliveryRetry::DAEMON, day).await;
    assert_eq!(world.places[0].lines(), world.committed);
    let tries = world.places[0].tries();
    assert!((200..500).contains(&tries), "{tries} tries in a day");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_waits_until_a_batch_is_full_or_old() {
    let mut world = Harness::new();
    world.batch.records = 3;
    world.batch.age = Duration::from_secs(5);
    let mut delivery = world.delivery().await;
    for _ in 0..7 {
        world.commit("site").await;
    }
    let (progress, spool) = (delivery.progress(), world.spool.clone());
    let place = world.places[0].clone();
    while_delivering(&mut delivery, &spool, DeliveryRetry::DAEMON, async {
        for _ in 0..3 {
            let reading_on = progress.committed(1);
            let at_once = tokio::time::timeout(Duration::from_millis(100), reading_on);
            at_once.await.expect("what waits for more holds up nobody");
        }
        SystemRuntime.sleep(Duration::from_secs(1)).await;
        assert_eq!(place.0.lock().unwrap().batches, [3, 3]);
        SystemRuntime.sleep(Duration::from_secs(5)).await;
        assert_eq!(place.0.lock().unwrap().batches, [3, 3, 1]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_is_stopped_ends_after_the_batch_in_hand() {
    let mut world = Harness::new();
    world.batch.records = 1;
    for place in &world.places {
        place.0.lock().unwrap().slow = Duration::from_secs(1);
    }
    let mut delivery = world.delivery().await;
    for _ in 0..10 {
        world.commit("site").await;
    }
    let (progress, spool) = (delivery.progress(), world.spool.clone());
    let stopping = async {
        SystemRuntime.sleep(Duration::from_millis(2_500)).await;
        progress.stop();
    };
    let running = delivery.run(&spool, DeliveryRetry::DAEMON, &SystemRuntime);
    futures_util::future::join(stopping, running)
        .await
        .1
        .unwrap();
    assert_eq!(world.places[0].lines(), world.committed[..3]);
    assert_eq!(world.waiting().await, 7);
}
