//! Scheduler: when which site is read. Many sites, each with its own interval, in few slots.
//!
//! This is the pure core of the daemon's loop. It has no clock and no randomness of its own: an
//! instant is the time since the schedule began, which runs forward whatever the host's clock does,
//! and both are handed in. The loop asks for the [next](Schedule::next) thing to do, does it, and
//! tells how it [ended](Schedule::ended); between the two it can sleep.

mod bucket;
mod health;
mod pace;

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

pub use self::bucket::Bucket;
pub use self::health::{End, Health};
pub use self::pace::{Pace, account};

/// When many sites are begun with, this much lies between two of them at most.
const APART: Duration = Duration::from_millis(100);

/// No site is read more often.
const SHORTEST: Duration = Duration::from_secs(1);

/// Which site is read when.
///
/// A site has a slot in its interval that follows from its name alone, so that many sites spread
/// over it by themselves and keep their places across restarts. A slot that a long pass ran over is
/// left out, never made up for.
///
/// Sites that fail, or were never read to their end, share half of the places: a hundred that hang
/// or have years to catch up with hold up none of the others.
///
/// ```
/// use std::num::NonZeroUsize;
/// use std::time::Duration;
/// use confluence_audit_collector::schedule::{End, Next, Schedule};
///
/// let minute = Duration::from_secs(60);
/// let mut schedule = Schedule::new(NonZeroUsize::MIN);
/// schedule.set_sites([("acme".into(), minute)], Duration::ZERO);
/// let Next::Begin(site) = schedule.next(Duration::from_secs(1)) else { panic!() };
/// assert_eq!(schedule.next(Duration::from_secs(1)), Next::Nothing);
/// schedule.ended(&site, End::Done, Duration::from_secs(2), 0.5);
/// let Next::Sleep(until) = schedule.next(Duration::from_secs(2)) else { panic!() };
/// assert!(until <= Duration::from_secs(1) + minute + minute / 2);
/// ```
#[derive(Debug)]
pub struct Schedule {
    places: usize,
    sites: HashMap<Arc<str>, Entry>,
    /// Those that wait for their time, by it: the well-behaved, and the others.
    steady: Queue,
    troubled: Queue,
    running: usize,
    running_troubled: usize,
}

type Queue = BTreeSet<(Duration, Arc<str>)>;

#[derive(Debug)]
struct Entry {
    interval: Duration,
    /// Where in the interval its slot lies.
    phase: Duration,
    health: Health,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waits { due: Duration },
    Runs { since: Duration, troubled: bool },
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Begin a pass over this site, and say when it has [ended](Schedule::ended).
    Begin(Arc<str>),
    /// Nothing before this instant, unless a pass ends.
    Sleep(Duration),
    /// Nothing before a pass ends.
    Nothing,
}

/// How a site stands in the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteSchedule {
    /// How its passes went.
    pub health: Health,
    /// When the next one begins at the earliest; `None` while one is under way.
    pub due: Option<Duration>,
    /// The time between two passes while all is well.
    pub interval: Duration,
}

impl Schedule {
    /// A schedule that has at most `places` passes under way at a time.
    pub fn new(places: NonZeroUsize) -> Self {
        Self {
            places: places.get(),
            sites: HashMap::new(),
            steady: Queue::new(),
            troubled: Queue::new(),
            running: 0,
            running_troubled: 0,
        }
    }

    /// Changes how many passes may be under way at a time. Those that are go on.
    pub fn set_places(&mut self, places: NonZeroUsize) {
        self.places = places.get();
    }

    /// The sites from now on, by name, each with its interval. One that is new is due soon, and so
    /// is one that failed: a person has just changed something. The others keep their places.
    ///
    /// Called while no pass is under way.
    pub fn set_sites(
        &mut self,
        sites: impl IntoIterator<Item = (Arc<str>, Duration)>,
        now: Duration,
    ) {
        let before = std::mem::take(&mut self.sites);
        (self.steady, self.troubled) = (Queue::new(), Queue::new());
        (self.running, self.running_troubled) = (0, 0);
        let sites: Vec<_> = sites.into_iter().collect();
        let apart = APART.saturating_mul(u32::try_from(sites.len()).unwrap_or(u32::MAX));
        for (name, interval) in sites {
            let interval = interval.max(SHORTEST);
            let soon = now.saturating_add(interval.min(apart).mul_f64(share(&name)));
            let kept = before
                .get(&name)
                .filter(|entry| entry.interval == interval && entry.health == Health::Well);
            let due = match kept.map(|entry| entry.stage) {
                Some(Stage::Waits { due }) => due,
                _ => soon,
            };
            let entry = Entry {
                interval,
                phase: interval.mul_f64(share(&name)),
                health: kept.map_or(Health::New, |entry| entry.health),
                stage: Stage::Waits { due },
            };
            self.queue_of(&entry).insert((due, Arc::clone(&name)));
            self.sites.insert(name, entry);
        }
    }

    /// What is to be done at `now`. A site that it names has begun.
    pub fn next(&mut self, now: Duration) -> Next {
        let full = self.running >= self.places;
        let full_of_trouble = self.running_troubled >= (self.places / 2).max(1);
        if full {
            return Next::Nothing;
        }
        let steady = self.steady.first();
        let troubled = self.troubled.first().filter(|_| !full_of_trouble);
        let first = match (steady, troubled) {
            // What is due on time goes before what is late anyway, but not for ever.
            (Some(steady), Some(troubled)) if steady.0 <= now => {
                if self.latest(troubled) <= steady.0 {
                    troubled
                } else {
                    steady
                }
            }
            (Some(steady), Some(troubled)) => steady.min(troubled),
            (Some(first), None) | (None, Some(first)) => first,
            (None, None) => return Next::Nothing,
        };
        let (due, name) = first.clone();
        if due > now {
            return Next::Sleep(due);
        }
        let troubled = !self.steady.remove(&(due, Arc::clone(&name)));
        if troubled {
            self.troubled.remove(&(due, Arc::clone(&name)));
            self.running_troubled += 1;
        }
        self.running += 1;
        if let Some(entry) = self.sites.get_mut(&name) {
            entry.stage = Stage::Runs {
                since: now,
                troubled,
            };
        }
        Next::Begin(name)
    }

    /// Notes how a pass that was begun has ended, and with it when the next one is due. `random`
    /// is a number from 0 to 1.
    pub fn ended(&mut self, site: &str, end: End, now: Duration, random: f64) {
        let Some(since) = self.leave(site) else {
            return;
        };
        let Some(entry) = self.sites.get_mut(site) else {
            return;
        };
        entry.health = entry.health.after(end);
        // Never sooner than half an interval after the last one, and never two at once to make up
        // for a slot that went by.
        let slot = slot(entry.phase, entry.interval, since + entry.interval / 2).max(slot(
            entry.phase,
            entry.interval,
            now,
        ));
        let due = match entry.health.pause(entry.interval, random) {
            Some(pause) => now.saturating_add(pause),
            None => slot,
        };
        let due = match end {
            End::Cut => now,
            End::Failed { not_before } => due.max(not_before),
            End::Done | End::Refused => due,
        };
        self.wait(site, due);
    }

    /// Takes back that a site has begun: it is not to be asked before `until`.
    pub fn postpone(&mut self, site: &str, until: Duration) {
        if self.leave(site).is_some() {
            self.wait(site, until);
        }
    }

    /// How a site stands.
    pub fn site(&self, site: &str) -> Option<SiteSchedule> {
        self.sites.get(site).map(|entry| SiteSchedule {
            health: entry.health,
            due: match entry.stage {
                Stage::Waits { due } => Some(due),
                Stage::Runs { .. } => None,
            },
            interval: entry.interval,
        })
    }

    /// When a site has waited for as long as its interval.
    fn latest(&self, (due, name): &(Duration, Arc<str>)) -> Duration {
        let interval = self.sites.get(name).map(|entry| entry.interval);
        due.saturating_add(interval.unwrap_or_default())
    }

    /// Frees the place of a site that is under way, and says since when it was.
    fn leave(&mut self, site: &str) -> Option<Duration> {
        let Stage::Runs { since, troubled } = self.sites.get(site)?.stage else {
            return None;
        };
        self.running -= 1;
        self.running_troubled -= usize::from(troubled);
        Some(since)
    }

    fn wait(&mut self, site: &str, due: Duration) {
        if let Some((name, entry)) = self.sites.get_key_value(site) {
            let (name, steady) = (Arc::clone(name), entry.health == Health::Well);
            let queue = if steady {
                &mut self.steady
            } else {
                &mut self.troubled
            };
            queue.insert((due, name));
        }
        if let Some(entry) = self.sites.get_mut(site) {
            entry.stage = Stage::Waits { due };
        }
    }

    fn queue_of(&mut self, entry: &Entry) -> &mut Queue {
        if entry.health == Health::Well {
            &mut self.steady
        } else {
            &mut self.troubled
        }
    }
}

/// The first slot at or after `from`.
fn slot(phase: Duration, interval: Duration, from: Duration) -> Duration {
    let behind = from.saturating_sub(phase).as_nanos();
    let slots = behind.div_ceil(interval.as_nanos());
    let slots = u32::try_from(slots).unwrap_or(u32::MAX);
    phase.saturating_add(interval.saturating_mul(slots))
}

/// A number from 0 to 1 that is always the same for a name.
fn share(name: &str) -> f64 {
    let hash = blake3::hash(name.as_bytes());
    let mut first = [0; 4];
    first.copy_from_slice(&hash.as_bytes()[..4]);
    f64::from(u32::from_le_bytes(first)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests;
