//! Torture modes `syscall` and `error`: a run is killed at every call that changes its disk, or every such
//! call fails once, in a first run and in one that goes on; then a normal run makes it whole.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use confluence_audit_sim::{NewRecords, SimConfig, When};
use fastrand::Rng;

use super::inject::{CALLS, Fault, Injection, Injector};
use super::report::Row;
use super::settings::{Settings, progress};
use crate::error::Result;
use crate::tally::Tally;
use crate::test_site::{Exit, OUTPUT, TestSite};

/// Records that a site begins with.
const RECORDS: usize = 300;

/// In the short form so many calls of each kind are chosen for each fault.
const CHOSEN: usize = 2;

/// One site is used for so many runs that go on, so that its files stay small.
const RUNS_A_SITE: u32 = 40;

/// Mode `syscall`.
pub(crate) fn kill(settings: &Settings) -> Result<Vec<Row>> {
    run(settings, "syscall", &[Fault::Kill, Fault::Tear])
}

/// Mode `error`.
pub(crate) fn fail(settings: &Settings) -> Result<Vec<Row>> {
    run(settings, "error", &[Fault::Eio, Fault::Enospc, Fault::Half])
}

fn run(settings: &Settings, name: &str, faults: &[Fault]) -> Result<Vec<Row>> {
    let Some(injector) = Injector::build()? else {
        progress(&format!("{name} is skipped: cc is not installed"));
        return Ok(Vec::new());
    };
    let began = Instant::now();
    let mut trials = Trials {
        settings,
        injector: &injector,
        rng: Rng::with_seed(settings.seed),
        injected: 0,
        runs: 0,
        tally: Tally::default(),
        exits: BTreeMap::new(),
        site: None,
    };
    for first in [true, false] {
        trials.go_through(faults, first)?;
    }
    progress(&format!("{name}: runs ended {:?}", trials.exits));
    Ok(vec![Row {
        mode: name.to_owned(),
        kills: trials.injected,
        runs: trials.runs,
        tally: trials.tally,
        spent: began.elapsed(),
        seed: settings.seed,
    }])
}

struct Trials<'a> {
    settings: &'a Settings,
    injector: &'a Injector,
    rng: Rng,
    /// Runs in which the fault happened.
    injected: u64,
    runs: u64,
    tally: Tally,
    /// How they ended.
    exits: BTreeMap<String, u64>,
    /// The site of the runs that go on, and how many it has had.
    site: Option<(TestSite, u32)>,
}

impl Trials<'_> {
    fn go_through(&mut self, faults: &[Fault], first: bool) -> Result {
        self.injector.census(&self.prepared(first)?)?;
        let calls = self.injector.calls(&self.prepared(first)?)?;
        let run = if first {
            "a first run"
        } else {
            "a run that goes on"
        };
        progress(&format!("{run}: {calls:?}"));
        for fault in faults {
            for injection in self.plan(*fault, &calls) {
                self.try_from(injection, first)?;
            }
        }
        Ok(())
    }

    /// Each call once; in the short form a few of each kind.
    fn plan(&mut self, fault: Fault, calls: &BTreeMap<String, u32>) -> Vec<Injection> {
        let mut plan = Vec::new();
        for call in CALLS.into_iter().filter(|call| fault.fits(call)) {
            let count = calls.get(call).copied().unwrap_or(0);
            let numbers = if self.settings.short {
                self.rng.choose_multiple(1..=count, CHOSEN)
            } else {
                // A few more: runs differ a little.
                (1..=count + 3).collect()
            };
            plan.extend(numbers.into_iter().map(|number| Injection {
                fault,
                call,
                number,
            }));
        }
        plan
    }

    /// A site whose next run is its first one, or one that goes on.
    fn prepared(&mut self, first: bool) -> Result<TestSite> {
        let site = self.fresh()?;
        if !first {
            site.run()?;
            self.grow(&site);
        }
        Ok(site)
    }

    fn fresh(&self) -> Result<TestSite> {
        TestSite::start(
            &self.settings.program,
            SimConfig {
                seed: self.settings.seed,
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
            progress(&format!("{injection:?}, first run: {first}: {tally:?}"));
            self.tally
                .examples
                .push(format!("{injection:?}, first run: {first}"));
        } else if !first {
            self.site = Some((site, uses + 1));
        }
        self.tally += tally;
        Ok(())
    }

    /// A run with the fault, perhaps a rotation, perhaps a second such run, and one without.
    fn try_on(&mut self, site: &mut TestSite, injection: Injection) -> Result<Tally> {
        self.inject(site, &injection)?;
        // Every other time the file is gone when the program comes back.
        if self.rng.bool() {
            rename(&site.output())?;
        }
        if self.rng.usize(..3) == 0 {
            let number = self.rng.u32(1..40);
            let injection = Injection {
                number,
                ..injection
            };
            self.inject(site, &injection)?;
        }
        self.runs += 1;
        match site.run()? {
            Exit::Done(_) => site.tally(),
            exit => {
                let exit = format!("{exit:?}, the next normal one");
                Err(wrong(site, &injection, &exit))
            }
        }
    }

    fn inject(&mut self, site: &mut TestSite, injection: &Injection) -> Result {
        let child = self.injector.command(site, injection)?.spawn()?;
        let exit = site.finish(child)?;
        self.runs += 1;
        let Some(call) = Injector::happened(site) else {
            return Ok(());
        };
        self.injected += 1;
        let name = match exit {
            Exit::Done(_) => "0".to_owned(),
            Exit::Failed(code) => code.to_string(),
            Exit::Killed(signal) => format!("signal {signal}"),
        };
        *self.exits.entry(name.clone()).or_default() += 1;
        match exit {
            Exit::Done(_) if !site.tally()?.is_clean() => {
                Err(wrong(site, injection, "0, and its output is not whole"))
            }
            // Reading or writing failed; the output cannot be opened.
            Exit::Done(_) | Exit::Failed(73 | 74) => Ok(()),
            Exit::Killed(9) if matches!(injection.fault, Fault::Kill | Fault::Tear) => Ok(()),
            _ => Err(wrong(site, injection, &format!("{name} at {call}"))),
        }
    }
}

/// An error: a run ended as none may end.
fn wrong(site: &mut TestSite, injection: &Injection, exit: &str) -> Box<dyn Error + Send + Sync> {
    site.keep();
    let folder = site.folder().display();
    site.failure(&format!(
        "{injection:?}: the run ended with {exit}; see {folder}"
    ))
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
