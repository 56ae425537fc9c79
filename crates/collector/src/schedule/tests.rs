//! The schedule under a clock that the test moves.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const FAILED: End = End::Failed {
    not_before: Duration::ZERO,
};

fn places(places: usize) -> NonZeroUsize {
    NonZeroUsize::new(places).unwrap()
}

fn names(count: usize) -> Vec<(Arc<str>, Duration)> {
    (0..count)
        .map(|n| (format!("site-{n}").into(), MINUTE))
        .collect()
}

/// Plays the schedule until `end`; each pass takes what `pass` says and ends as it says. Gives
/// when each site was begun, and how often the loop woke.
fn play(
    schedule: &mut Schedule,
    from: Duration,
    end: Duration,
    mut pass: impl FnMut(&str) -> (Duration, End),
) -> (BTreeMap<Arc<str>, Vec<Duration>>, usize) {
    let mut begun: BTreeMap<Arc<str>, Vec<Duration>> = BTreeMap::new();
    let mut under_way: BTreeSet<(Duration, Arc<str>, usize)> = BTreeSet::new();
    let mut ends = Vec::new();
    let (mut now, mut wakes) = (from, 0);
    while now < end {
        wakes += 1;
        let until = loop {
            match schedule.next(now) {
                Next::Begin(site) => {
                    let (takes, how) = pass(&site);
                    under_way.insert((now + takes, Arc::clone(&site), ends.len()));
                    ends.push(how);
                    begun.entry(site).or_default().push(now);
                }
                Next::Sleep(until) => break until,
                Next::Nothing => break Duration::MAX,
            }
        };
        match under_way.first().cloned() {
            Some(first) if first.0 <= until => {
                under_way.remove(&first);
                now = first.0;
                schedule.ended(&first.1, ends[first.2], now, 0.5);
            }
            _ if until == Duration::MAX => break,
            _ => now = until,
        }
    }
    (begun, wakes)
}

#[test]
fn five_hundred_sites_at_a_minute_are_each_on_time() {
    let mut schedule = Schedule::new(places(16));
    schedule.set_sites(names(500), Duration::ZERO);
    let takes = (400 * SECOND / 1000, End::Done);
    let (begun, wakes) = play(&mut schedule, Duration::ZERO, 20 * MINUTE, |_| takes);
    assert_eq!(begun.len(), 500);
    for (site, begun) in &begun {
        // The first passes are spread over less than a minute; then each has its slot.
        assert!(begun[0] < MINUTE, "{site} was begun at {:?}", begun[0]);
        for pair in begun.windows(2).skip(1) {
            let gap = pair[1].abs_diff(pair[0]);
            let late = gap.abs_diff(MINUTE);
            assert!(late < 2 * SECOND, "{site}: {gap:?} between two passes");
        }
    }
    // It wakes to begin a pass and when one ends, and for nothing else.
    let passes: usize = begun.values().map(Vec::len).sum();
    assert!(wakes <= 2 * passes + 1, "{wakes} wakes for {passes} passes");
}

#[test]
fn a_single_site_begins_at_once_and_sleeps_from_pass_to_pass() {
    let mut schedule = Schedule::new(places(16));
    schedule.set_sites([("acme".into(), 10 * MINUTE)], Duration::ZERO);
    let (begun, wakes) = play(&mut schedule, Duration::ZERO, 100 * MINUTE, |_| {
        (SECOND, End::Done)
    });
    let begun = &begun["acme"];
    assert!(begun[0] <= SECOND);
    assert!((10..=11).contains(&begun.len()), "{begun:?}");
    assert!(wakes <= 2 * begun.len() + 1);
}

#[test]
fn no_more_passes_are_under_way_than_there_are_places() {
    let mut schedule = Schedule::new(places(4));
    schedule.set_sites(names(100), Duration::ZERO);
    let begun = |schedule: &mut Schedule| {
        let next = std::iter::from_fn(|| match schedule.next(MINUTE) {
            Next::Begin(site) => Some(site),
            _ => None,
        });
        next.collect::<Vec<_>>()
    };
    // None of them was ever read to its end.
    let first = begun(&mut schedule);
    assert_eq!(first.len(), 2);
    schedule.ended(&first[0], End::Done, MINUTE, 0.5);
    assert_eq!(begun(&mut schedule).len(), 1);
    // One that was goes before those that were not, and has a place beside theirs.
    let next = schedule.next(4 * MINUTE);
    assert_eq!(next, Next::Begin(Arc::clone(&first[0])));
    assert!(begun(&mut schedule).is_empty());
}

#[test]
fn sites_that_hang_hold_up_none_of_the_others() {
    let mut schedule = Schedule::new(places(8));
    schedule.set_sites(names(100), Duration::ZERO);
    let well = |_: &str| (SECOND / 10, End::Done);
    play(&mut schedule, Duration::ZERO, 2 * MINUTE, well);
    let (begun, _) = play(&mut schedule, 2 * MINUTE, 30 * MINUTE, |site| {
        if site.ends_with('7') {
            (3 * MINUTE, FAILED)
        } else {
            (SECOND / 10, End::Done)
        }
    });
    // Once it is known which they are.
    let settled = 10 * MINUTE;
    for (site, begun) in begun.iter().filter(|(site, _)| !site.ends_with('7')) {
        for pair in begun.windows(2).filter(|pair| pair[0] > settled) {
            let gap = pair[1].abs_diff(pair[0]);
            assert!(gap < MINUTE + 5 * SECOND, "{site}: {gap:?}");
        }
    }
}

#[test]
fn a_pass_that_outlasts_its_interval_leaves_a_slot_out() {
    let mut schedule = Schedule::new(places(2));
    schedule.set_sites(names(1), Duration::ZERO);
    let (begun, _) = play(&mut schedule, Duration::ZERO, 30 * MINUTE, |_| {
        (MINUTE + 10 * SECOND, End::Done)
    });
    let begun = &begun["site-0"];
    for pair in begun.windows(2).skip(1) {
        assert_eq!(pair[1].abs_diff(pair[0]), 2 * MINUTE);
    }
}

#[test]
fn what_the_service_asks_for_is_the_least() {
    let mut schedule = Schedule::new(places(2));
    schedule.set_sites(names(1), Duration::ZERO);
    assert!(matches!(schedule.next(SECOND), Next::Begin(_)));
    let not_before = 45 * MINUTE;
    schedule.ended("site-0", End::Failed { not_before }, 2 * SECOND, 0.5);
    assert_eq!(schedule.next(2 * SECOND), Next::Sleep(not_before));
}

#[test]
fn a_site_in_quarantine_is_asked_slowly_and_at_once_after_a_reload() {
    let mut schedule = Schedule::new(places(2));
    schedule.set_sites(names(1), Duration::ZERO);
    let refuse = |_: &str| (SECOND, End::Refused);
    let (begun, _) = play(&mut schedule, Duration::ZERO, 5 * 60 * MINUTE, refuse);
    let begun = begun["site-0"].len();
    assert!((6..=8).contains(&begun), "{begun} passes in five hours");
    let site = schedule.site("site-0").unwrap();
    assert!(site.health.is_quarantined());
    let now = 5 * 60 * MINUTE;
    schedule.set_sites(names(1), now);
    assert_eq!(schedule.next(now + SECOND), Next::Begin("site-0".into()));
}

#[test]
fn a_reload_moves_no_site_that_is_well() {
    let mut schedule = Schedule::new(places(8));
    schedule.set_sites(names(20), Duration::ZERO);
    let well = |_: &str| (SECOND / 10, End::Done);
    play(&mut schedule, Duration::ZERO, 3 * MINUTE, well);
    let due = |schedule: &Schedule| -> Vec<_> {
        let of = |(name, _): &(Arc<str>, Duration)| schedule.site(name).unwrap().due;
        names(20).iter().map(of).collect()
    };
    let before = due(&schedule);
    // What was under way is taken for new.
    schedule.set_sites(names(25), 3 * MINUTE);
    let kept = due(&schedule);
    let same = before.iter().zip(&kept).filter(|(a, b)| a == b).count();
    assert!(same >= 19, "{before:?} {kept:?}");
    schedule.set_sites(names(3), 3 * MINUTE);
    assert!(schedule.site("site-7").is_none());
}

#[test]
fn a_site_that_is_postponed_keeps_its_health_and_frees_its_place() {
    let mut schedule = Schedule::new(places(2));
    schedule.set_sites(names(1), Duration::ZERO);
    assert!(matches!(schedule.next(SECOND), Next::Begin(_)));
    schedule.postpone("site-0", 5 * MINUTE);
    assert_eq!(schedule.next(SECOND), Next::Sleep(5 * MINUTE));
    assert_eq!(schedule.site("site-0").unwrap().health, Health::New);
}

#[test]
fn with_too_few_places_a_site_that_was_never_read_gets_its_turn_all_the_same() {
    let mut schedule = Schedule::new(places(1));
    schedule.set_sites(names(15), Duration::ZERO);
    // More than a minute of work for each minute.
    let (begun, _) = play(&mut schedule, Duration::ZERO, 60 * MINUTE, |_| {
        (Duration::from_millis(6_429), End::Done)
    });
    assert_eq!(begun.len(), 15);
    assert!(begun.values().all(|begun| begun.len() >= 10), "{begun:?}");
}

proptest! {
    #[test]
    fn no_site_is_read_too_often_and_none_is_forgotten(
        count in 1_usize..40,
        slots in 1_usize..6,
        passes in prop::collection::vec((1_u64..20_000, 0_u8..4), 1..200),
    ) {
        let mut schedule = Schedule::new(places(slots));
        schedule.set_sites(names(count), Duration::ZERO);
        let mut passes = passes.into_iter().cycle();
        let (begun, _) = play(&mut schedule, Duration::ZERO, 24 * 60 * MINUTE, |_| {
            let (millis, how) = passes.next().unwrap();
            let end = match how {
                0 => FAILED,
                1 => End::Refused,
                _ => End::Done,
            };
            (Duration::from_millis(millis), end)
        });
        prop_assert_eq!(begun.len(), count);
        for times in begun.values() {
            for pair in times.windows(2) {
                prop_assert!(pair[1].abs_diff(pair[0]) >= MINUTE / 2);
            }
            prop_assert!(times.len() >= 10);
        }
    }
}
