//! State of the simulated site: its log, clock, tokens, faults, statistics, and the records that arrive by themselves.

use std::sync::Mutex;

use fastrand::Rng;
use jiff::Timestamp;

use crate::arrival::{Arrival, NewRecords, When};
use crate::config::SimConfig;
use crate::fault::FaultInjector;
use crate::generator::Generator;
use crate::ground_truth::GroundTruth;
use crate::lock::lock;
use crate::log::{Entry, Log};
use crate::oauth::OAuth;
use crate::page_cache::PageCache;
use crate::quirks::Quirks;
use crate::random::mix;
use crate::stats::{RequestLog, Stats};

const DAY: i64 = 86_400_000;

/// The state of one site. Locks are held for single steps only, never two at once.
pub(crate) struct SimState {
    pub(crate) config: SimConfig,
    pub(crate) url: String,
    pub(crate) generator: Generator,
    pub(crate) log: Mutex<Log>,
    pub(crate) quirks: Mutex<Quirks>,
    pub(crate) faults: Mutex<FaultInjector>,
    pub(crate) oauth: Mutex<OAuth>,
    pub(crate) requests: Mutex<RequestLog>,
    pub(crate) fixed_now: Mutex<Option<i64>>,
    /// Where pages are wanted fast.
    pub(crate) page_cache: Option<PageCache>,
    arrivals: Mutex<Arrivals>,
}

/// The state of arrivals.
struct Arrivals {
    rng: Rng,
    arrival: Option<Arrival>,
    pages: usize,
    left: usize,
}

impl SimState {
    /// The cloud id that is served; `None` is any.
    pub(crate) fn cloud_id(&self) -> Option<&str> {
        (!self.config.any_cloud_id).then_some(&self.config.cloud_id)
    }

    pub(crate) fn new(config: SimConfig, url: String) -> Self {
        let now = config
            .now
            .unwrap_or_else(|| host_now().saturating_add(config.clock_skew_ms));
        let newest = config.newest.unwrap_or(now - 5_000);
        let oldest = config.oldest.unwrap_or(newest - 300 * DAY).min(newest);
        let mut rng = Rng::with_seed(mix(config.seed, 0xB025));
        let bursts = config
            .bursts
            .iter()
            .map(|burst| {
                let chosen = rng.i64(oldest..=newest);
                (burst.at.unwrap_or(chosen), burst.records, burst.twins)
            })
            .collect();
        Self {
            url,
            generator: Generator {
                system: config.system,
                hostile: config.hostile,
            },
            log: Mutex::new(Log::new(
                config.seed,
                config.records,
                (oldest, newest),
                config.twins,
                bursts,
            )),
            quirks: Mutex::new(config.quirks),
            faults: Mutex::new(FaultInjector::new(
                mix(config.seed, 0xFA17),
                config.faults.clone(),
            )),
            oauth: Mutex::new(OAuth::new(
                config.oauth.clone(),
                config.account.missing_scope,
                config.seed,
            )),
            requests: Mutex::default(),
            fixed_now: Mutex::new(config.now),
            page_cache: config.fast.then(PageCache::default),
            arrivals: Mutex::new(Arrivals {
                rng: Rng::with_seed(mix(config.seed, 0x0E3)),
                left: config
                    .insert_every
                    .as_ref()
                    .map_or(0, |arrival| arrival.total),
                arrival: config.insert_every.clone(),
                pages: 0,
            }),
            config,
        }
    }

    /// The site's clock, in epoch milliseconds.
    pub(crate) fn now(&self) -> i64 {
        lock(&self.fixed_now)
            .unwrap_or_else(|| host_now().saturating_add(self.config.clock_skew_ms))
    }

    pub(crate) fn truth(&self, from: i64, to: i64) -> GroundTruth {
        GroundTruth::new(lock(&self.log).clone(), self.generator, from, to)
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = lock(&self.requests).stats.clone();
        let oauth = lock(&self.oauth);
        stats.refreshes = oauth.refreshes;
        stats.reuses_in_leeway = oauth.reuses_in_leeway;
        stats.reuses_after_leeway = oauth.reuses_after_leeway;
        stats
    }

    /// Puts records into the log and returns their lines.
    pub(crate) fn insert(&self, new: &NewRecords) -> Vec<String> {
        let now = self.now();
        // The span that a new record's time is drawn from, and the time of the oldest record that it may copy.
        let (from, to, oldest) = match new.when {
            When::Now => (now, now, now),
            When::At(time) => (time, time, i64::MIN),
            When::Late(by) => {
                let from = now.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX));
                (from, now, from)
            }
        };
        let fresh: Vec<_> = {
            let rng = &mut lock(&self.arrivals).rng;
            let draw = |_| Entry {
                time: rng.i64(from..=to),
                key: rng.u64(..),
            };
            (0..new.count).map(draw).collect()
        };
        let mut lines = Vec::with_capacity(new.count);
        {
            let mut log = lock(&self.log);
            for mut entry in fresh {
                let rank = log.rank(entry.time.saturating_add(1));
                if new.twins
                    && let Some(before) = rank.checked_sub(1)
                    && let Some(old) = log.slice(before, 1).pop()
                    && old.time >= oldest
                {
                    entry = old;
                }
                log.insert(entry);
                lines.push(self.generator.record(entry).line());
            }
        }
        lock(&self.requests).stats.inserted += lines.len() as u64;
        lines
    }

    /// Changes what arrives by itself, and begins to count anew.
    pub(crate) fn set_arrival(&self, arrival: Option<Arrival>) {
        let mut arrivals = lock(&self.arrivals);
        arrivals.left = arrival.as_ref().map_or(0, |arrival| arrival.total);
        arrivals.pages = 0;
        arrivals.arrival = arrival;
    }

    /// Lets the configured records arrive, if it is their turn.
    pub(crate) fn arrive(&self, after: bool) {
        let (count, arrival) = {
            let mut arrivals = lock(&self.arrivals);
            let Some(arrival) = arrivals
                .arrival
                .clone()
                .filter(|arrival| arrival.after == after)
            else {
                return;
            };
            arrivals.pages += 1;
            if !arrivals.pages.is_multiple_of(arrival.every.max(1)) {
                return;
            }
            let count = arrival.records.count.min(arrivals.left);
            arrivals.left -= count;
            (count, arrival)
        };
        self.insert(&NewRecords {
            count,
            ..arrival.records
        });
    }
}

fn host_now() -> i64 {
    Timestamp::now().as_millisecond()
}
