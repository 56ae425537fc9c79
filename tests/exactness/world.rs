//! A site, a host that collects from it, and what can be done to both.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use confluence_audit_collector::delivery::{Delivery, Route};
use confluence_audit_collector::metrics::Counters;
use confluence_audit_collector::output::OutputName;
use confluence_audit_collector::pass::{PassOptions, collect};
use confluence_audit_collector::site::Site;
use confluence_audit_collector::spool::{Spool, SqliteSpool};
use confluence_audit_collector::{ErrorKind, Result, SiteId};
use confluence_audit_core::{
    ApiToken, AuditClient, CloudId, Fingerprint, Http, Origin, RawRecord, RetryPolicy, Runtime,
    SiteAddress, SystemRuntime, Timestamp,
};
use confluence_audit_sim::{API_TOKEN, Arrival, EMAIL, NewRecords, Sim, SimConfig, When};
use proptest::test_runner::TestCaseError;
use tempfile::TempDir;

use crate::faults::{AilingFile, Death, DyingFile, DyingSpool, Health, at_most, until_dead};

/// This host's clock: the real one, moved.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    moved_minutes: AtomicI64,
}

impl Clock {
    pub(crate) fn move_by(&self, minutes: i64) {
        self.moved_minutes.fetch_add(minutes, Ordering::Relaxed);
    }

    fn put_right(&self) {
        self.moved_minutes.store(0, Ordering::Relaxed);
    }
}

#[async_trait]
impl Runtime for Clock {
    fn now(&self) -> Timestamp {
        let moved = self.moved_minutes.load(Ordering::Relaxed) * 60_000;
        Timestamp::from_millis(SystemRuntime.now().as_millis() + moved)
    }

    async fn sleep(&self, duration: Duration) {
        SystemRuntime.sleep(duration).await;
    }

    fn random(&self) -> f64 {
        0.5
    }
}

/// The first one may die or be full in the middle of a run, the second one is ill for whole runs.
const OUTPUTS: [&str; 2] = ["first", "second"];

pub(crate) struct Model {
    pub(crate) sim: Sim,
    pub(crate) clock: Arc<Clock>,
    /// How the second output is.
    pub(crate) second: Health,
    /// How many bytes may wait for outputs.
    pub(crate) limit: u64,
    dir: TempDir,
    rotations: u32,
    /// How long each file was when it was last looked at.
    lengths: BTreeMap<PathBuf, u64>,
}

impl Model {
    pub(crate) fn new(seed: u64) -> Self {
        let sim = Sim::start(SimConfig {
            seed,
            records: 60,
            twins: 0.2,
            oldest: Some(SystemRuntime.now().as_millis() - 20 * 86_400_000),
            ..SimConfig::default()
        });
        // Every commit waits for the disk: one in memory tells as much here, and sooner.
        let memory = std::path::Path::new("/dev/shm");
        let dir = if memory.is_dir() {
            TempDir::new_in(memory)
        } else {
            TempDir::new()
        };
        let dir = dir.unwrap();
        for output in OUTPUTS {
            fs::create_dir(dir.path().join(output)).unwrap();
        }
        Self {
            sim: sim.unwrap(),
            clock: Arc::default(),
            second: Health::Well,
            limit: u64::MAX,
            dir,
            rotations: 0,
            lengths: BTreeMap::new(),
        }
    }

    fn output(&self, name: &str) -> PathBuf {
        self.dir.path().join(name).join("flattened.json")
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// One run of the program, in a runtime of its own: when it dies, nothing of it lives on.
    pub(crate) fn pass(&mut self, jobs: usize, death: Death) -> Result<(), TestCaseError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let waited = runtime.block_on(self.waiting());
        let dead = Arc::new(AtomicBool::new(false));
        let run = Box::pin(until_dead(&dead, self.run(jobs, death, dead.clone())));
        let ended = runtime.block_on(async {
            match death {
                Death::AtAwait { polls } => at_most(polls, run).await.flatten(),
                _ => run.await,
            }
        });
        let is_ill = self.second != Health::Well;
        let waits = runtime.block_on(self.waiting());
        if is_ill && waited >= self.limit && waits > waited {
            return Err(TestCaseError::fail(format!(
                "{waits} bytes wait where {waited} did and no more than {} may",
                self.limit
            )));
        }
        match (death, ended) {
            (_, Some(Err(error))) if is_ill && error.kind() == ErrorKind::SpoolFull => {}
            // A service that changes its habits while it is read may be given up on.
            (Death::None, Some(Err(error))) => {
                panic!("{error}: {:?}", std::error::Error::source(&error))
            }
            (_, ended) => drop(ended),
        }
        Ok(())
    }

    /// How many bytes wait for outputs.
    async fn waiting(&self) -> u64 {
        match SqliteSpool::open_read_only(&self.state()).unwrap() {
            Some(spool) => spool.depth().await.unwrap().bytes,
            None => 0,
        }
    }

    async fn run(&self, jobs: usize, death: Death, dead: Arc<AtomicBool>) -> Result<()> {
        let state = self.state();
        fs::create_dir_all(&state).unwrap();
        let spool = DyingSpool::new(SqliteSpool::open(&state)?, death);
        let [first, second] = OUTPUTS.map(|name| (OutputName::new(name), self.output(name)));
        let dying = DyingFile::new(first.0, first.1, death, dead);
        let ailing = AilingFile::new(second.0, second.1, self.second);
        let routes = vec![Route::new(Box::new(dying)), Route::new(Box::new(ailing))];
        let mut delivery = Delivery::prepare(routes, &spool, &Counters::default()).await?;
        let collecting = PassOptions {
            spool_limit: self.limit,
            jobs: NonZeroUsize::new(jobs).unwrap(),
            ..PassOptions::default()
        };
        collect(
            &self.site(),
            &spool,
            &mut delivery,
            &collecting,
            &*self.clock,
            |_| {},
        )
        .await?;
        Ok(())
    }

    fn site(&self) -> Site {
        let retry = RetryPolicy {
            base: Duration::from_millis(1),
            ..RetryPolicy::default()
        };
        let http = Http::builder()
            .runtime(self.clock.clone())
            .retry(retry)
            .build();
        let origin = Origin::parse(self.sim.url()).unwrap();
        let cloud_id = CloudId::new(self.sim.cloud_id()).unwrap();
        let token = ApiToken::new(origin.clone(), EMAIL, API_TOKEN.into()).unwrap();
        let address = SiteAddress::gateway(origin, &cloud_id);
        let client = AuditClient::new(http, address, Arc::new(token));
        Site::new("sim", SiteId::new(cloud_id.as_str()), client)
    }

    pub(crate) fn insert(&self, count: usize, late_by: Duration, twins: bool) {
        let when = if late_by.is_zero() {
            When::Now
        } else {
            When::Late(late_by)
        };
        self.sim.insert(&NewRecords { count, when, twins });
    }

    /// A few records, so that a log which is read by offset can come to rest: at worst each spoils
    /// every other reading, and of eight the last two have to agree.
    pub(crate) fn arriving(&self, every: usize, late_by: Duration) {
        let records = NewRecords {
            count: 1,
            when: When::Late(late_by),
            twins: false,
        };
        self.sim.set_arrival(Some(Arrival {
            every,
            records,
            total: 3,
            ..Arrival::default()
        }));
    }

    pub(crate) fn rotate(&mut self) {
        self.rotations += 1;
        for output in OUTPUTS.map(|name| self.output(name)) {
            if !output.exists() {
                continue;
            }
            let to = output.with_extension(format!("json.{}", self.rotations));
            fs::rename(&output, &to).unwrap();
            if let Some(length) = self.lengths.remove(&output) {
                self.lengths.insert(to, length);
            }
        }
    }

    /// All faults end, and the program runs until every step of reading again has come round.
    pub(crate) fn settle(&mut self) -> Result<(), TestCaseError> {
        self.sim.set_arrival(None);
        self.second = Health::Well;
        self.clock.put_right();
        for _ in 0..3 {
            self.pass(1, Death::None)?;
            self.clock.move_by(25 * 60);
        }
        Ok(())
    }

    /// The files of one output.
    fn files(&self, output: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir.path().join(output)).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// A reader that follows a file must never see it get shorter.
    pub(crate) fn nothing_shrank(&mut self) -> Result<(), TestCaseError> {
        for path in OUTPUTS.map(|output| self.files(output)).concat() {
            let length = fs::metadata(&path).unwrap().len();
            let before = self.lengths.insert(path, length).unwrap_or(0);
            if length < before {
                return Err(TestCaseError::fail(format!(
                    "{before} bytes became {length}"
                )));
            }
        }
        Ok(())
    }

    pub(crate) fn holds_the_truth(&self) -> Result<(), TestCaseError> {
        let mut outputs = OUTPUTS.iter();
        outputs.try_for_each(|output| self.output_holds_the_truth(output))
    }

    fn output_holds_the_truth(&self, output: &str) -> Result<(), TestCaseError> {
        let mut counts: BTreeMap<(Option<Timestamp>, Fingerprint), i64> = BTreeMap::new();
        let mut count = |line: &str, by: i64| -> Result<(), TestCaseError> {
            let record = RawRecord::parse(line.to_owned())
                .map_err(|_| TestCaseError::fail(format!("a torn line: {line:.200}")))?;
            *counts
                .entry((record.time(), record.fingerprint()))
                .or_default() += by;
            Ok(())
        };
        for line in self.sim.truth() {
            count(&line, 1)?;
        }
        for path in self.files(output) {
            let text = fs::read_to_string(path).unwrap();
            if !text.is_empty() && !text.ends_with('\n') {
                return Err(TestCaseError::fail("a file ends within a line"));
            }
            for line in text.lines() {
                count(line, -1)?;
            }
        }
        let lost: i64 = counts.values().filter(|n| **n > 0).sum();
        let twice: i64 = counts.values().filter(|n| **n < 0).sum();
        if (lost, twice) != (0, 0) {
            return Err(TestCaseError::fail(format!(
                "{output}: {lost} lost, {} twice",
                -twice
            )));
        }
        Ok(())
    }
}
