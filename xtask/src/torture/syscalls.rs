//! Modes `syscall` and `error`: a run is killed at every call that touches its disk, or every such
//! call fails once, in a first run and in one that goes on; then a normal run makes it whole.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use confluence_audit_sim::{NewRecords, SimConfig, When};
use fastrand::Rng;

use super::Torture;
use super::inject::{CALLS, Fate, Injection, Injector, Tool};
use super::report::Row;
use crate::error::Result;
use crate::tally::Tally;
use crate::test_site::{Exit, OUTPUT, TestSite};

/// Records that a site begins with.
const RECORDS: usize = 300;

/// In the short form so many calls of each kind are chosen for each fate.
const fn chosen(tool: Tool) -> usize {
    match tool {
        Tool::Library => 2,
        Tool::Strace => 1,
    }
}

/// One site is used for so many runs that go on, so that its files stay small.
const RUNS_A_SITE: u32 = 40;

/// Mode `syscall`.
pub(crate) fn kill(torture: &Torture) -> Result<Vec<Row>> {
    run(torture, "syscall", &[Fate::Kill, Fate::Tear])
}

/// Mode `error`.
pub(crate) fn fail(torture: &Torture) -> Result<Vec<Row>> {
    run(torture, "error", &[Fate::Eio, Fate::Enospc, Fate::Half])
}

fn run(torture: &Torture, name: &str, fates: &[Fate]) -> Result<Vec<Row>> {
    let injector = Injector::new()?;
    let tools = injector.tools();
    if tools.is_empty() {
        torture.say(&format!(
            "{name} is skipped: neither cc nor strace is installed"
        ));
    }
    let mut rows = Vec::new();
    for tool in tools {
        let began = Instant::now();
        let mut trials = Trials {
            torture,
            injector: &injector,
            rng: Rng::with_seed(torture.seed),
            kills: 0,
            runs: 0,
            tally: Tally::default(),
            ends: BTreeMap::new(),
            site: None,
        };
        for first in [true, false] {
            trials.go_through(tool, fates, first)?;
        }
        torture.say(&format!("{name} by {tool:?}: runs ended {:?}", trials.ends));
        rows.push(Row {
            mode: format!("{name} {tool:?}").to_lowercase(),
            kills: trials.kills,
            runs: trials.runs,
            tally: trials.tally,
            spent: began.elapsed(),
            seed: torture.seed,
        });
    }
    Ok(rows)
}

struct Trials<'a> {
    torture: &'a Torture,
    injector: &'a Injector,
    rng: Rng,
    /// Runs that met their fate.
    kills: u64,
    runs: u64,
    tally: Tally,
    /// How they ended.
    ends: BTreeMap<String, u64>,
    /// The site of the runs that go on, and how many it has had.
    site: Option<(TestSite, u32)>,
}

impl Trials<'_> {
    fn go_through(&mut self, tool: Tool, fates: &[Fate], first: bool) -> Result {
        let calls = self.calls(first)?;
        self.torture.say(&format!(
            "{tool:?}, {}: {calls:?}",
            if first {
                "a first run"
            } else {
                "a run that goes on"
            }
        ));
        for fate in fates {
            for injection in self.plan(tool, *fate, &calls) {
                self.try_from(injection, first)?;
            }
        }
        Ok(())
    }

    /// What a run calls that nothing befalls. Where only strace is there, this is not known, and
    /// each kind is tried as long as something happens.
    fn calls(&mut self, first: bool) -> Result<BTreeMap<String, u32>> {
        if !self.injector.tools().contains(&Tool::Library) {
            return Ok(CALLS.iter().map(|call| ((*call).to_owned(), 400)).collect());
        }
        let site = self.fresh()?;
        if first {
            self.injector.sees_all(&self.fresh()?)?;
        } else {
            site.run()?;
            self.grow(&site);
        }
        self.injector.calls_of_a_run(&site)
    }

    /// Each call once; in the short form a few of each kind.
    fn plan(&mut self, tool: Tool, fate: Fate, calls: &BTreeMap<String, u32>) -> Vec<Injection> {
        let mut plan = Vec::new();
        for call in CALLS.into_iter().filter(|call| fate.fits(call, tool)) {
            let count = calls.get(call).copied().unwrap_or(0);
            let numbers = if self.torture.short {
                self.rng.choose_multiple(1..=count, chosen(tool))
            } else {
                // A few more: runs differ a little.
                (1..=count + 3).collect()
            };
            plan.extend(numbers.into_iter().map(|at| Injection {
                tool,
                fate,
                call,
                at,
            }));
        }
        plan
    }

    fn fresh(&self) -> Result<TestSite> {
        TestSite::start(
            &self.torture.program,
            SimConfig {
                seed: self.torture.seed,
                records: RECORDS,
                twins: 0.1,
                ..SimConfig::default()
            },
        )
    }

    fn grow(&mut self, site: &TestSite) {
        let when = When::Late(Duration::from_mins(10));
        for twins in [false, true] {
            let count = self.rng.usize(3..20);
            site.sim.insert(&NewRecords { count, when, twins });
        }
    }

    fn try_from(&mut self, injection: Injection, first: bool) -> Result {
        let (mut site, uses) = match self.site.take() {
            Some((site, uses)) if !first && uses < RUNS_A_SITE => (site, uses),
            _ => (self.fresh()?, 0),
        };
        if !first {
            if uses == 0 {
                site.run()?;
            }
            self.grow(&site);
        }
        let tally = self.try_on(&mut site, injection)?;
        if !tally.is_clean() {
            self.torture
                .say(&format!("{injection:?}, first run: {first}: {tally:?}"));
            self.tally
                .examples
                .push(format!("{injection:?}, first run: {first}"));
        } else if !first {
            self.site = Some((site, uses + 1));
        }
        self.tally += tally;
        Ok(())
    }

    /// A run that meets its fate, perhaps a rotation, perhaps a second such run, and one that
    /// nothing befalls.
    fn try_on(&mut self, site: &mut TestSite, injection: Injection) -> Result<Tally> {
        self.meet(site, &injection)?;
        // Every other time the file is gone when the program comes back.
        if self.rng.bool() {
            rename(&site.output())?;
        }
        if self.rng.usize(..3) == 0 {
            let at = self.rng.u32(1..40);
            self.meet(site, &Injection { at, ..injection })?;
        }
        self.runs += 1;
        match site.run()? {
            Exit::Done(_) => site.tally(),
            end => Err(wrong(
                site,
                &injection,
                &format!("{end:?}, the next normal one"),
            )),
        }
    }

    fn meet(&mut self, site: &mut TestSite, injection: &Injection) -> Result {
        let child = self.injector.command(site, injection)?.spawn()?;
        let end = site.finish(child)?;
        self.runs += 1;
        let Some(place) = Injector::happened(site, injection) else {
            return Ok(());
        };
        self.kills += 1;
        let name = match end {
            Exit::Done(_) => "0".to_owned(),
            Exit::Failed(code) => code.to_string(),
            Exit::Killed(signal) => format!("signal {signal}"),
        };
        *self.ends.entry(name.clone()).or_default() += 1;
        match end {
            Exit::Done(_) if !site.tally()?.is_clean() => {
                Err(wrong(site, injection, "0, and its output is not whole"))
            }
            // Reading or writing failed; the output cannot be opened.
            Exit::Done(_) | Exit::Failed(73 | 74) => Ok(()),
            Exit::Killed(9) if matches!(injection.fate, Fate::Kill | Fate::Tear) => Ok(()),
            _ => Err(wrong(site, injection, &format!("{name} at {place}"))),
        }
    }
}

/// A run ended as none may end.
fn wrong(site: &mut TestSite, injection: &Injection, end: &str) -> Box<dyn Error + Send + Sync> {
    site.keep();
    let what = format!(
        "{injection:?}: the run ended with {end}; see {}",
        site.folder().display()
    );
    site.failure(&what)
}

/// Moves the output out of the way, as logrotate would.
fn rename(output: &Path) -> Result {
    if !output.exists() {
        return Ok(());
    }
    let mut number = 1;
    loop {
        let rotated = output.with_file_name(format!("{OUTPUT}.{number}"));
        if !rotated.exists() {
            return Ok(fs::rename(output, rotated)?);
        }
        number += 1;
    }
}
