//! Every way that the service has, or may have, of showing the same log, one at a time: the output is the same.

use confluence_audit_sim::{
    Arrival, Burst, KeyOrder, NewRecords, NextForm, Order, Quirks, SimConfig, SizeForm, When,
};

use crate::lines::Same;
use crate::site::{OUTPUT, Site};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// A site, by the name that a failure shows.
struct Case {
    name: &'static str,
    config: SimConfig,
    same: Same,
}

fn config(quirks: Quirks) -> SimConfig {
    SimConfig {
        records: 3_000,
        hostile: 0.01,
        quirks,
        ..SimConfig::default()
    }
}

fn case(name: &'static str, quirks: Quirks) -> Case {
    Case {
        name,
        config: config(quirks),
        same: Same::Bytes,
    }
}

/// Three records at one millisecond, as a late arrival or as the twins of one that is there.
fn three(at: i64, twins: bool) -> NewRecords {
    NewRecords {
        count: 3,
        when: When::At(at),
        twins,
    }
}

/// Three runs: all that there is, nothing, and what has come late.
fn collects_once(case: Case) {
    let Case { name, config, same } = case;
    let site = Site::start(config);
    let known = site.sim.now() - 3 * MINUTE;
    site.sim.insert(&three(known, false));

    site.fetch().expect(0);
    site.assert_output_is_the_truth(&format!("{name}, first run"), same);
    let output = site.output();

    let second = site.fetch().expect(0);
    assert!(
        second.stdout.starts_with("Flattened 0 "),
        "{name}, second run: {second}"
    );
    assert_eq!(site.output(), output, "{name}, second run");

    site.sim.insert(&three(known, true));
    site.sim.insert(&three(site.sim.now() - 10 * MINUTE, false));
    let third = site.fetch().expect(0);
    assert!(
        third.stdout.starts_with("Flattened 6 "),
        "{name}, third run: {third}"
    );
    assert!(site.output().starts_with(&output), "{name}, third run");
    site.assert_output_is_the_truth(&format!("{name}, third run"), same);
}

#[test]
fn the_order_does_not_matter() {
    for (name, order) in [
        ("oldest first", Order::OldestFirst),
        ("shuffled", Order::Shuffled),
    ] {
        collects_once(case(
            name,
            Quirks {
                order,
                ..Quirks::default()
            },
        ));
    }
}

#[test]
fn the_ends_of_a_window_may_be_in_or_out() {
    for (name, start_inclusive, end_inclusive) in [
        ("start exclusive", false, true),
        ("end exclusive", true, false),
        ("both exclusive", false, false),
    ] {
        let quirks = Quirks {
            start_inclusive,
            end_inclusive,
            ..Quirks::default()
        };
        collects_once(case(name, quirks));
        // Where every page ends in the middle of a millisecond, an end counts most.
        let mut crowded = case(
            name,
            Quirks {
                max_limit: Some(100),
                ..quirks
            },
        );
        let now = host_now();
        crowded.config.oldest = Some(now - MINUTE);
        crowded.config.records = 3_000;
        collects_once(crowded);
    }
}

fn host_now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_millis()).unwrap()
}

#[test]
fn pages_may_be_of_any_size() {
    for (name, most, records) in [
        ("1 a page", 1, 400),
        ("2 a page", 2, 1_000),
        ("25 a page", 25, 3_000),
        ("100 a page", 100, 5_000),
    ] {
        let mut case = case(
            name,
            Quirks {
                max_limit: Some(most),
                ..Quirks::default()
            },
        );
        case.config.records = records;
        collects_once(case);
    }
}

#[test]
fn the_next_page_may_be_named_in_any_way_or_not_at_all() {
    for (name, next) in [
        ("relative", NextForm::Relative),
        ("with /wiki", NextForm::Wiki),
        ("absolute", NextForm::Absolute),
        ("elsewhere", NextForm::AbsoluteElsewhere),
        ("none", NextForm::None),
    ] {
        collects_once(case(
            name,
            Quirks {
                next,
                ..Quirks::default()
            },
        ));
        let shuffled = Quirks {
            next,
            order: Order::Shuffled,
            max_limit: Some(300),
            ..Quirks::default()
        };
        let mut by_offset = case(name, shuffled);
        by_offset.config.records = 2_000;
        collects_once(by_offset);
    }
}

#[test]
fn sizes_may_lie_and_pages_may_be_empty() {
    let default = Quirks::default();
    for (name, quirks) in [
        (
            "size is the total",
            Quirks {
                size: SizeForm::Total,
                ..default
            },
        ),
        (
            "size lies",
            Quirks {
                size: SizeForm::Lie,
                ..default
            },
        ),
        (
            "every 2nd page is empty",
            Quirks {
                empty_every: Some(2),
                max_limit: Some(500),
                ..default
            },
        ),
        (
            "every 3rd page is empty",
            Quirks {
                empty_every: Some(3),
                max_limit: Some(100),
                ..default
            },
        ),
        (
            "the first page is empty",
            Quirks {
                empty_first: true,
                ..default
            },
        ),
    ] {
        collects_once(case(name, quirks));
    }
}

#[test]
fn the_same_json_may_be_written_in_any_way() {
    let default = Quirks::default();
    for (name, quirks, same) in [
        (
            "keys reversed",
            Quirks {
                key_order: KeyOrder::Reversed,
                ..default
            },
            Same::Meaning,
        ),
        (
            "keys shuffled",
            Quirks {
                key_order: KeyOrder::Shuffled,
                ..default
            },
            Same::Meaning,
        ),
        (
            "pretty",
            Quirks {
                pretty: true,
                ..default
            },
            Same::Bytes,
        ),
        (
            "ASCII escapes",
            Quirks {
                ascii_escapes: true,
                ..default
            },
            Same::Bytes,
        ),
        (
            "dates as strings",
            Quirks {
                string_dates: true,
                ..default
            },
            Same::Meaning,
        ),
        (
            "volatile names",
            Quirks {
                volatile_names: true,
                ..default
            },
            Same::LastingMeaning,
        ),
        (
            "gzip",
            Quirks {
                gzip: true,
                ..default
            },
            Same::Bytes,
        ),
    ] {
        collects_once(Case {
            same,
            ..case(name, quirks)
        });
    }
}

#[test]
fn the_services_clock_may_be_wrong_or_unknown() {
    let clock = |name, omit_date, clock_skew_ms| {
        let mut case = case(
            name,
            Quirks {
                omit_date,
                ..Quirks::default()
            },
        );
        case.config.clock_skew_ms = clock_skew_ms;
        case
    };
    collects_once(clock("no Date", true, 0));
    collects_once(clock("5 hours fast", false, 5 * HOUR));
    collects_once(clock("5 hours slow", false, -5 * HOUR));
    collects_once(clock("5 hours fast and no Date", true, 5 * HOUR));
    collects_once(clock("5 hours slow and no Date", true, -5 * HOUR));
    collects_once(clock("400 days slow", false, -400 * 24 * HOUR));
}

#[test]
fn records_of_the_future_come_out_once_and_hide_nothing() {
    for (name, ahead, omit_date) in [
        ("a minute ahead", MINUTE, false),
        ("3 hours ahead", 3 * HOUR, false),
        ("10 days ahead", 240 * HOUR, false),
        ("a minute ahead and no Date", MINUTE, true),
    ] {
        let site = Site::start(config(Quirks {
            omit_date,
            ..Quirks::default()
        }));
        site.sim.insert(&three(site.sim.now() + ahead, false));
        site.fetch().expect(0);
        site.assert_output_is_the_truth(name, Same::Bytes);
        site.sim.insert(&NewRecords::default());
        site.sim.insert(&three(site.sim.now() + ahead, true));
        let second = site.fetch().expect(0);
        assert!(
            second.stdout.starts_with("Flattened 4 "),
            "{name}: {second}"
        );
        site.assert_output_is_the_truth(name, Same::Bytes);
    }
}

#[test]
fn a_millisecond_may_hold_more_than_a_page() {
    for (name, records, max_limit, twins) in [
        ("2,500 of 1,000", 2_500, None, 0.2),
        ("exactly 1,000", 1_000, None, 0.2),
        ("2,000 of 1,000, few differ", 2_000, None, 0.98),
        ("730 of 100", 730, Some(100), 0.3),
        ("12,000, more than a window", 12_000, None, 0.2),
    ] {
        let mut case = case(
            name,
            Quirks {
                max_limit,
                ..Quirks::default()
            },
        );
        case.config.records = 1_500;
        case.config.bursts = vec![Burst {
            records,
            twins,
            at: None,
        }];
        collects_once(case);
    }
}

#[test]
fn records_that_arrive_while_it_reads_come_out_once() {
    let now = NewRecords::default();
    let late = NewRecords {
        when: When::Late(std::time::Duration::from_mins(10)),
        count: 2,
        ..NewRecords::default()
    };
    let twins = NewRecords {
        twins: true,
        ..late.clone()
    };
    for (name, records) in [("new", now), ("late", late), ("late twins", twins)] {
        for (every, after, max_limit) in
            [(1, true, None), (2, false, Some(250)), (3, true, Some(250))]
        {
            let name = format!("{name}, every {every}, after {after}, {max_limit:?} a page");
            let site = Site::start(SimConfig {
                records: 2_000,
                oldest: Some(host_now() - 20 * MINUTE),
                insert_every: Some(Arrival {
                    every,
                    after,
                    records: records.clone(),
                    total: 20,
                }),
                ..config(Quirks {
                    max_limit,
                    ..Quirks::default()
                })
            });
            // Each run serves at least one page, so the arrivals end.
            while site.sim.stats().inserted < 20 {
                site.fetch().expect(0);
            }
            site.fetch().expect(0);
            site.assert_output_is_the_truth(&name, Same::Bytes);
            let last = site.fetch().expect(0);
            assert_eq!(
                last.stdout,
                format!("Flattened 0 records into {OUTPUT}\n"),
                "{name}"
            );
        }
    }
}

#[test]
fn twins_that_arrive_in_a_millisecond_while_it_is_read_come_out_once() {
    for max_limit in [None, Some(100)] {
        let at = host_now() - 5 * MINUTE;
        let records = NewRecords {
            count: 1,
            when: When::At(at),
            twins: true,
        };
        let site = Site::start(SimConfig {
            records: 500,
            bursts: vec![Burst {
                records: 1_700,
                twins: 0.3,
                at: Some(at),
            }],
            insert_every: Some(Arrival {
                every: 2,
                after: true,
                records,
                total: 4,
            }),
            ..config(Quirks {
                max_limit,
                ..Quirks::default()
            })
        });
        while site.sim.stats().inserted < 4 {
            site.fetch().expect(0);
        }
        site.fetch().expect(0);
        site.assert_output_is_the_truth(&format!("{max_limit:?} a page"), Same::Bytes);
    }
}
