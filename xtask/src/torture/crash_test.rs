//! Crash test of one site, for mode `random`: SIGKILL at random instants, and death at a random byte of the
//! output, while the site fails in every way, its log grows, logrotate rotates, and readers read along.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use confluence_audit_sim::{Arrival, FaultRates, NewRecords, Quirks, SimConfig, When};
use fastrand::Rng;

use super::logrotate::Logrotate;
use super::readers::Reader;
use super::settings::Settings;
use crate::error::Result;
use crate::tally::Tally;
use crate::test_site::{Exit, TestSite};

/// Records that a site begins with.
const RECORDS: usize = 2_500;

/// A page is small, so that a run has many requests.
const PAGE: usize = 250;

/// New records may be this late: well within what every run reads again.
const LATE: When = When::Late(Duration::from_mins(10));

/// So many records arrive by themselves for each kill: about as many as there is time for, since
/// the last runs find something new until they have all come.
const ARRIVALS_A_KILL: u64 = 2;

/// The most that is inserted in one millisecond: more than two pages.
const BURST: usize = 600;

/// What came of a site, or of several.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) kills: u64,
    /// Of these: by a signal at an instant when the run was reading or writing, and no longer
    /// starting.
    at_work: u64,
    /// Of these: by the kernel, at a byte of the output or, as no file may grow further, of the
    /// spool.
    at_a_byte: u64,
    pub(crate) runs: u64,
    rotations: u64,
    /// What the site answered, by outcome.
    answers: BTreeMap<String, u64>,
    pub(crate) output: Tally,
    pub(crate) readers: Vec<(&'static str, Tally)>,
}

impl AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.kills += other.kills;
        self.at_work += other.at_work;
        self.at_a_byte += other.at_a_byte;
        self.runs += other.runs;
        self.rotations += other.rotations;
        for (answer, count) in other.answers {
            *self.answers.entry(answer).or_default() += count;
        }
        self.output += other.output;
        for (name, tally) in other.readers {
            match self.readers.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += tally,
                None => self.readers.push((name, tally)),
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kills,
            at_work,
            at_a_byte,
            runs,
            rotations,
            answers,
            output,
            ..
        } = self;
        write!(
            f,
            "{kills} kills, {at_work} of them at work and {at_a_byte} at a byte; {runs} runs, \
             {rotations} rotations, {} records, answers {answers:?}",
            output.records
        )
    }
}

/// One site, and what is done to the program that collects from it.
pub(crate) struct CrashTest {
    site: TestSite,
    rng: Rng,
    rotation: Option<Logrotate>,
    readers: Vec<Reader>,
    /// `tail -F` is among them.
    followed: bool,
    /// A file may be rotated again only when a run has completed the one before: see `rotate`.
    may_rotate: bool,
    /// How long a run takes that nobody kills.
    length: Duration,
    /// So many kills end the test.
    kills: u64,
    outcome: Outcome,
}

impl CrashTest {
    pub(crate) fn start(settings: &Settings, seed: u64, kills: u64) -> Result<Self> {
        let arrivals = usize::try_from(kills * ARRIVALS_A_KILL)?;
        // A run of an equal site that nothing is done to gives the length of a first run.
        let model = TestSite::start(&settings.program, config(seed, arrivals))?;
        let began = Instant::now();
        model.run()?;
        let length = began.elapsed();
        let site = TestSite::start(&settings.program, config(seed, arrivals))?;
        Ok(Self {
            rotation: Logrotate::of(&site)?,
            readers: Reader::rsyslog(&site)?.into_iter().collect(),
            followed: false,
            site,
            rng: Rng::with_seed(seed),
            may_rotate: false,
            length,
            kills,
            outcome: Outcome::default(),
        })
    }

    pub(crate) fn run(mut self) -> Result<Outcome> {
        while self.outcome.kills < self.kills {
            self.grow();
            self.follow()?;
            self.maybe_rotate()?;
            self.run_once()?;
        }
        self.outcome.runs += self.site.settle()?;
        self.outcome.output = self.site.tally()?;
        for reader in &mut self.readers {
            let tally = reader.tally(&self.site)?;
            if !tally.is_clean() {
                self.site.keep();
            }
            self.outcome.readers.push((reader.name, tally));
        }
        for (answer, count) in self.site.sim.stats().requests.into_values().flatten() {
            *self.outcome.answers.entry(answer).or_default() += count;
        }
        Ok(self.outcome)
    }

    fn follow(&mut self) -> Result {
        if !self.followed && self.site.output().exists() {
            self.readers.push(Reader::tail(&self.site)?);
            self.followed = true;
        }
        Ok(())
    }

    /// The log grows: new records, late ones, twins, and now and then a crowded millisecond.
    fn grow(&mut self) {
        let mut count = self.rng.usize(..6);
        let mut when = if self.rng.bool() { LATE } else { When::Now };
        if self.rng.usize(..20) == 0 {
            count = BURST;
            when = When::At(self.site.sim.now() - self.rng.i64(..500_000));
        }
        self.site.sim.insert(&NewRecords {
            count,
            when,
            twins: self.rng.usize(..3) == 0,
        });
    }

    /// A file that was renamed while a line in it is unfinished is completed under its new name by
    /// the next run, if it is still there and not compressed. So between two rotations one run has
    /// to come through; the documentation asks for no less.
    fn maybe_rotate(&mut self) -> Result {
        if let Some(rotation) = &self.rotation
            && self.may_rotate
            && self.rng.usize(..3) == 0
            && rotation.rotate()?
        {
            self.may_rotate = false;
            self.outcome.rotations += 1;
        }
        Ok(())
    }

    /// A run that is killed, unless it is quicker.
    fn run_once(&mut self) -> Result {
        self.outcome.runs += 1;
        let inside = self.rng.usize(..4) == 0 && self.site.output().exists();
        let mut command = if inside {
            self.fetch_up_to_a_byte()?
        } else {
            self.site.fetch()?
        };
        let requests = self.requests();
        let began = Instant::now();
        let mut child = command.spawn()?;
        let mut rotating = self.maybe_rotate_meanwhile()?;
        // Some are spared: only behind a run that came through can be rotated again.
        let spared = self.rng.usize(..6) == 0;
        let exit = if inside || spared {
            self.site.finish(child)?
        } else {
            let instant = self.length.mul_f64(self.rng.f64());
            sleep(instant.saturating_sub(began.elapsed()));
            // It may have ended by itself.
            let _ = child.kill();
            self.site.exit(child.wait()?)?
        };
        if let Some(rotating) = &mut rotating {
            rotating.wait()?;
        }
        match exit {
            Exit::Killed(_) => {
                self.outcome.kills += 1;
                if inside {
                    self.outcome.at_a_byte += 1;
                } else if self.requests() > requests {
                    self.outcome.at_work += 1;
                }
            }
            Exit::Done(_) => {
                // A rotation during the run may have come behind its last line.
                self.may_rotate = rotating.is_none();
                self.length = (self.length + began.elapsed()) / 2;
            }
            // The service failed, or was busy, too often in a row, or the disk limit met SQLite's
            // own write.
            Exit::Failed(69 | 74 | 75) => {}
            Exit::Failed(code) => {
                self.site.keep();
                return Err(self.site.failure(&format!("a run ended with {code}")));
            }
        }
        Ok(())
    }

    /// How many requests the site has had.
    fn requests(&self) -> u64 {
        self.site.sim.stats().count("", "")
    }

    fn maybe_rotate_meanwhile(&mut self) -> Result<Option<Child>> {
        let Some(rotation) = &self.rotation else {
            return Ok(None);
        };
        if !self.may_rotate || self.rng.usize(..6) > 0 {
            return Ok(None);
        }
        sleep(self.length.mul_f64(0.5 * self.rng.f64()));
        self.may_rotate = false;
        self.outcome.rotations += 1;
        rotation.begin().map(Some)
    }

    /// The kernel ends the process when a file would grow beyond a limit, after it has written up
    /// to it: a line torn at any byte, which the instant of a signal rarely gives.
    fn fetch_up_to_a_byte(&mut self) -> Result<Command> {
        let length = std::fs::metadata(self.site.output())?.len();
        let limit = length + self.rng.u64(1..4_000);
        let mut prlimit = Command::new("prlimit");
        prlimit.args(["--core=0".to_owned(), format!("--fsize={limit}")]);
        self.site.fetch_within(prlimit)
    }
}

fn config(seed: u64, arrivals: usize) -> SimConfig {
    SimConfig {
        seed,
        records: RECORDS,
        twins: 0.05,
        quirks: Quirks {
            max_limit: Some(PAGE),
            ..Quirks::default()
        },
        insert_every: Some(Arrival {
            every: 3,
            records: NewRecords {
                count: 1,
                when: LATE,
                twins: false,
            },
            total: arrivals,
            ..Arrival::default()
        }),
        faults: FaultRates {
            rate_limited: 0.10,
            server_error: 0.05,
            cut: 0.03,
            hang: 0.01,
            retry_after: Duration::ZERO,
            ..FaultRates::default()
        },
        // A hung connection is reset after this, or the run is killed before.
        hang: Duration::from_millis(100),
        ..SimConfig::default()
    }
}
