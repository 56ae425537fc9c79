//! The promises of delivery: each output gets all of its own, in order, whatever others do.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use confluence_audit_core::Timestamp;

use super::*;
use crate::ErrorKind;
use crate::config::Config;
use crate::room::Room;
use crate::spool::{Commit, NewRecord, SqliteSpool};

/// What an output has got, and whether it works.
#[derive(Clone, Default)]
struct Place(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lines: Vec<Bytes>,
    broken: bool,
    tries: usize,
}

impl Place {
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

struct Fake(OutputName, Place);

impl Fake {
    fn try_it(&self) -> Result<std::sync::MutexGuard<'_, State>> {
        let mut state = self.1.0.lock().unwrap();
        state.tries += 1;
        if state.broken {
            return Err(Error::new(ErrorKind::Io, format!("{} is full", self.0), ""));
        }
        Ok(state)
    }
}

#[async_trait]
impl Output for Fake {
    fn name(&self) -> &OutputName {
        &self.0
    }

    async fn prepare(&mut self) -> Result<()> {
        self.try_it().map(drop)
    }

    async fn deliver(&mut self, lines: &[Bytes], _: Option<&[u8]>) -> Result<Delivered> {
        self.try_it()?.lines.extend_from_slice(lines);
        Ok(Delivered {
            lines: lines.len(),
            checkpoint: Vec::new(),
        })
    }
}

/// A spool and two outputs.
struct World {
    _dir: tempfile::TempDir,
    spool: SqliteSpool,
    places: [Place; 2],
    sources: [Source; 2],
    formats: [Format; 2],
    committed: Vec<Bytes>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            spool: SqliteSpool::open(dir.path()).unwrap(),
            _dir: dir,
            places: Default::default(),
            sources: [Source::All, Source::All],
            formats: [Format::Raw; 2],
            committed: Vec::new(),
        }
    }

    async fn delivery(&self) -> Delivery {
        let routes = std::iter::zip(["a", "b"], &self.places)
            .zip(std::iter::zip(&self.sources, self.formats))
            .map(|((name, place), (source, format))| Route {
                output: Box::new(Fake(OutputName::new(name), place.clone())),
                format,
                source: source.clone(),
            });
        Delivery::prepare(routes.collect(), &self.spool)
            .await
            .unwrap()
    }

    async fn commit(&mut self, site: &str) {
        let time = Timestamp::from_millis(self.committed.len().try_into().unwrap());
        let line = format!(r#"{{"creationDate":{}}}"#, time.as_millis());
        let record = RawRecord::parse(line).unwrap();
        let line = record.line().clone();
        self.committed.push(line.clone());
        let commit = Commit {
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

    async fn waiting(&self) -> u64 {
        self.spool.depth().await.unwrap().records
    }
}

#[tokio::test]
async fn an_output_that_fails_holds_up_no_other_and_gets_what_it_lacks_in_order() {
    let mut world = World::new();
    let mut delivery = world.delivery().await;
    world.places[0].set_broken(true);
    let tries = world.places[0].tries();
    for _ in 0..3 {
        world.commit("site").await;
        delivery.drain(&world.spool).await.unwrap();
    }
    assert_eq!(world.places[0].tries(), tries + 1, "it is left in peace");
    assert!(!delivery.has_stopped());
    assert_eq!(world.places[1].lines(), world.committed);
    assert_eq!(world.waiting().await, 3);

    let failures = delivery.take_failures();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].to_string(), "a is full");
    world.places[0].set_broken(false);
    delivery.drain(&world.spool).await.unwrap();
    assert_eq!(world.places[0].lines(), world.committed);
    assert_eq!(world.waiting().await, 0);
    assert_eq!(delivery.take_failures().len(), 0);
}

#[tokio::test]
async fn an_output_that_was_never_ready_gets_what_was_committed_meanwhile() {
    let mut world = World::new();
    world.places[0].set_broken(true);
    let mut delivery = world.delivery().await;
    world.commit("site").await;
    delivery.drain(&world.spool).await.unwrap();
    assert_eq!(world.places[1].lines(), world.committed);
    world.places[1].set_broken(true);
    let delivery = world.delivery().await;
    assert!(delivery.has_stopped());

    world.places[0].set_broken(false);
    let mut delivery = world.delivery().await;
    delivery.drain(&world.spool).await.unwrap();
    assert_eq!(world.places[0].lines(), world.committed);
}

#[tokio::test]
async fn a_full_spool_has_room_again_when_the_output_that_held_it_up_works_again() {
    let mut world = World::new();
    let mut delivery = world.delivery().await;
    world.places[0].set_broken(true);
    world.commit("site").await;
    delivery.drain(&world.spool).await.unwrap();
    let mut room = Room::new(1);
    for _ in 0..2 {
        let full = room.make(&world.spool, &mut delivery).await.unwrap_err();
        assert_eq!(full.kind(), ErrorKind::SpoolFull);
        assert!(full.to_string().contains("wait for a,"), "{full}");
        assert_eq!(delivery.behind().count(), 1);
    }
    world.places[0].set_broken(false);
    room.make(&world.spool, &mut delivery).await.unwrap();
    assert_eq!(world.places[0].lines(), world.committed);
    assert_eq!(world.waiting().await, 0);
    assert_eq!(delivery.take_failures().len(), 0);
}

#[tokio::test]
async fn an_output_of_one_site_gets_its_records_alone() {
    let mut world = World::new();
    world.sources[0] = Source::Site(SiteId::new("one"));
    let mut delivery = world.delivery().await;
    for site in ["one", "two", "one"] {
        world.commit(site).await;
    }
    delivery.drain(&world.spool).await.unwrap();
    let all = &world.committed;
    assert_eq!(world.places[0].lines(), [all[0].clone(), all[2].clone()]);
    assert_eq!(world.places[1].lines(), *all);
    assert_eq!(world.waiting().await, 0);
}

#[tokio::test]
async fn an_output_of_a_site_that_is_not_found_passes_over_nothing_that_may_be_its_own() {
    let mut world = World::new();
    let (one, two) = (SiteId::new("one"), SiteId::new("two"));
    world.sources[0] = Source::Unknown(vec![two]);
    let mut delivery = world.delivery().await;
    for site in ["two", "one", "two"] {
        world.commit(site).await;
        delivery.drain(&world.spool).await.unwrap();
    }
    assert_eq!(world.waiting().await, 2, "the other's first is not for it");
    assert_eq!(delivery.behind().count(), 1);
    assert_eq!(world.places[1].lines(), world.committed);

    world.sources[0] = Source::Site(one);
    let mut delivery = world.delivery().await;
    delivery.drain(&world.spool).await.unwrap();
    assert_eq!(world.places[0].lines(), world.committed[1..2]);
    assert_eq!(world.waiting().await, 0);
    assert_eq!(delivery.behind().count(), 0);
}

#[tokio::test]
async fn each_output_has_its_own_format_and_a_line_names_the_site_as_it_is_configured() {
    let mut world = World::new();
    world.formats[1] = Format::Ecs;
    let mut delivery = world.delivery().await;
    let config = Config::from_toml(
        r#"
        [[site]]
        name = "acme"
        url = "https://acme.atlassian.net"
        auth = { kind = "api-token", email = "a@example.com", token_file = "/t" }
        "#,
        "config.toml",
    );
    let mut labels = Labels::default();
    labels.add(SiteId::new("one"), &config.unwrap().sites[0]);
    delivery.set_labels(labels);
    for site in ["one", "two"] {
        world.commit(site).await;
    }
    delivery.drain(&world.spool).await.unwrap();
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
            r#"{"account":{"id":"one","name":"acme"}} {"address":"https://acme.atlassian.net"}"#,
            r#"{"account":{"id":"two","name":"two"}} null"#,
        ]
    );
}
