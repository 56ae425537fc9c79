//! Records and pages: the same for a seed, complete under every quirk, and each quirk is what it says.

use std::time::Duration;

use confluence_audit_sim::{
    Arrival, Burst, KeyOrder, NewRecords, NextForm, Order, Quirks, Sim, SimConfig, SizeForm, When,
};
use serde_json::Value;

use crate::client::{AUDIT, CLIENT, collect, get, header, json, lines, page, sorted, walk};

const T: i64 = 1_750_000_000_000;

fn config() -> SimConfig {
    SimConfig {
        records: 2_300,
        oldest: Some(T - 1_000_000),
        newest: Some(T),
        now: Some(T + 1_000),
        twins: 0.1,
        hostile: 0.1,
        bursts: vec![Burst {
            records: 250,
            twins: 0.5,
            at: Some(T - 500_000),
        }],
        ..SimConfig::default()
    }
}

fn sim(quirks: Quirks) -> Sim {
    Sim::start(SimConfig { quirks, ..config() }).unwrap()
}

fn time(line: &str) -> i64 {
    let record: Value = serde_json::from_str(line).unwrap();
    record["creationDate"].as_i64().unwrap()
}

fn times(page: &Value) -> Vec<i64> {
    page["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["creationDate"].as_i64().unwrap())
        .collect()
}

#[test]
fn the_same_seed_is_the_same_site() {
    let truth = |seed| {
        Sim::start(SimConfig { seed, ..config() })
            .unwrap()
            .truth()
            .collect::<Vec<_>>()
    };
    let one = truth(1);
    assert_eq!(one.len(), 2_550);
    assert_eq!(one, truth(1));
    assert_ne!(one, truth(2));
    assert!(
        one.windows(2).filter(|pair| pair[0] == pair[1]).count() > 200,
        "twins"
    );
    assert!(one.iter().map(|line| time(line)).is_sorted());
    assert_eq!((time(&one[0]), time(&one[2_549])), (T - 1_000_000, T));
}

#[tokio::test]
async fn every_form_of_paging_gives_the_truth() {
    let quirks = Quirks::default();
    for quirks in [
        quirks,
        Quirks {
            next: NextForm::Wiki,
            max_limit: Some(100),
            ..quirks
        },
        Quirks {
            next: NextForm::Absolute,
            order: Order::OldestFirst,
            gzip: true,
            ..quirks
        },
        Quirks {
            next: NextForm::AbsoluteElsewhere,
            size: SizeForm::Total,
            pretty: true,
            ..quirks
        },
        Quirks {
            next: NextForm::None,
            max_limit: Some(170),
            size: SizeForm::Lie,
            ..quirks
        },
        Quirks {
            order: Order::Shuffled,
            max_limit: Some(130),
            ascii_escapes: true,
            ..quirks
        },
        Quirks {
            empty_every: Some(3),
            max_limit: Some(100),
            ..quirks
        },
        Quirks {
            empty_every: Some(2),
            empty_first: true,
            ..quirks
        },
    ] {
        let sim = sim(quirks);
        assert_eq!(collect(&sim, "").await, sorted(sim.truth()), "{quirks:?}");
        assert_eq!(
            collect(&sim, "limit=290").await,
            sorted(sim.truth()),
            "{quirks:?}"
        );
    }
}

#[tokio::test]
async fn pages_say_what_the_quirks_make_them_say() {
    let plain = sim(Quirks::default());
    let first = page(&plain, "limit=10").await;
    assert!(times(&first).is_sorted_by(|a, b| a >= b));
    assert_eq!(first["_links"]["next"], "/rest/api/audit?start=10&limit=10");
    assert_eq!((&first["size"], &first["limit"]), (&10.into(), &10.into()));
    assert_eq!(page(&plain, "start=2540").await["_links"].get("next"), None);

    let capped = sim(Quirks {
        max_limit: Some(50),
        size: SizeForm::Total,
        next: NextForm::Absolute,
        ..Quirks::default()
    });
    let first = page(&capped, "limit=200").await;
    assert_eq!(
        (lines(&first).len(), &first["limit"], &first["size"]),
        (50, &50.into(), &2_550.into())
    );
    assert_eq!(
        first["_links"]["next"],
        format!("{}/wiki/rest/api/audit?start=50&limit=50", capped.url())
    );

    let repeating = sim(Quirks {
        next_repeats: true,
        ..Quirks::default()
    });
    assert_eq!(
        page(&repeating, "start=100").await["_links"]["next"],
        "/rest/api/audit?start=100&limit=1000"
    );

    let holed = sim(Quirks {
        empty_first: true,
        empty_every: Some(3),
        max_limit: Some(100),
        ..Quirks::default()
    });
    let pages = walk(&holed, "").await;
    let empty: Vec<_> = pages
        .iter()
        .map(|page| lines(page).is_empty())
        .take(7)
        .collect();
    assert_eq!(empty, [true, false, true, false, false, true, false]);

    let odd = sim(Quirks {
        key_order: KeyOrder::Reversed,
        string_dates: true,
        omit_date: true,
        ..Quirks::default()
    });
    let response = get(&odd, AUDIT).send().await.unwrap();
    assert!(header(&response, "date").is_none());
    assert!(header(&response, "atl-traceid").is_some());
    let text = response.text().await.unwrap();
    assert!(
        text.starts_with("{\"_links\":{\"self\":"),
        "{}",
        &text[..80]
    );
    let first: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(first["results"][0]["creationDate"], T.to_string());

    let volatile = sim(Quirks {
        volatile_names: true,
        ..Quirks::default()
    });
    let (a, b) = (
        page(&volatile, "limit=1").await,
        page(&volatile, "limit=1").await,
    );
    assert_ne!(
        a["results"][0]["author"]["displayName"],
        b["results"][0]["author"]["displayName"]
    );
    assert_eq!(
        a["results"][0]["changedValues"],
        b["results"][0]["changedValues"]
    );

    let skewed = Sim::start(SimConfig {
        clock_skew_ms: -3_600_000,
        ..SimConfig::default()
    })
    .unwrap();
    let response = get(&skewed, AUDIT).send().await.unwrap();
    let date = header(&response, "date").unwrap().to_owned();
    let date = jiff::fmt::rfc2822::parse(&date)
        .unwrap()
        .timestamp()
        .as_millisecond();
    assert!((skewed.now() - date).abs() < 10_000);
}

#[tokio::test]
async fn ends_are_in_or_out() {
    let burst = T - 500_000;
    for (start_inclusive, end_inclusive) in
        [(true, true), (true, false), (false, true), (false, false)]
    {
        let sim = sim(Quirks {
            start_inclusive,
            end_inclusive,
            ..Quirks::default()
        });
        let there = sim.truth_between(burst, burst).len();
        assert!(there >= 250);
        let has = async |from: i64, to: i64| {
            let page = page(&sim, &format!("startDate={from}&endDate={to}")).await;
            times(&page).iter().filter(|time| **time == burst).count()
        };
        assert_eq!(has(burst - 1, burst + 1).await, there);
        assert_eq!(
            has(burst, burst + 1).await,
            if start_inclusive { there } else { 0 }
        );
        assert_eq!(
            has(burst - 1, burst).await,
            if end_inclusive { there } else { 0 }
        );
        assert_eq!(has(burst + 1, burst - 1).await, 0);
        let (from, to) = (T - 700_000, T - 300_000);
        let inner = sim.truth_between(
            from + i64::from(!start_inclusive),
            to - i64::from(!end_inclusive),
        );
        assert_eq!(
            collect(&sim, &format!("startDate={from}&endDate={to}&limit=100")).await,
            sorted(inner)
        );
    }
}

#[tokio::test]
async fn a_million_records_are_cheap() {
    let quirks = Quirks {
        order: Order::OldestFirst,
        ..Quirks::default()
    };
    let sim = Sim::start(SimConfig {
        records: 1_000_000,
        quirks,
        ..SimConfig::default()
    })
    .unwrap();
    assert_eq!(sim.truth().len(), 1_000_000);
    let middle = page(&sim, "start=543210").await;
    assert_eq!(
        lines(&middle),
        sim.truth()
            .skip(543_210)
            .take(1)
            .chain(lines(&middle)[1..].to_vec())
            .collect::<Vec<_>>()
    );
    let from = times(&middle)[0];
    assert_eq!(
        lines(&page(&sim, &format!("startDate={}", from + 1)).await).len(),
        1_000
    );
}

#[tokio::test]
async fn arrivals_come_in_new_late_or_as_twins() {
    let sim = sim(Quirks::default());
    let before = sim.truth().len();
    let new = sim.insert(&NewRecords {
        count: 3,
        ..NewRecords::default()
    });
    assert_eq!(
        sim.truth_between(T + 1_000, i64::MAX).collect::<Vec<_>>(),
        new
    );
    let twins = sim.insert(&NewRecords {
        count: 2,
        when: When::At(T),
        twins: true,
    });
    let newest: Vec<_> = sim.truth_between(T, T).collect();
    assert_eq!(
        newest[newest.len() - 3..],
        [twins[0].clone(), twins[0].clone(), twins[0].clone()]
    );
    let pair = sim.insert(&NewRecords {
        count: 2,
        when: When::Late(Duration::from_millis(500)),
        twins: true,
    });
    let times: Vec<i64> = pair.iter().map(|line| time(line)).collect();
    assert!(times.iter().all(|time| *time >= T + 500), "{times:?}");
    let late = sim.insert(&NewRecords {
        count: 40,
        when: When::Late(Duration::from_mins(10)),
        twins: false,
    });
    let there = sorted(sim.truth_between(T - 599_000, T + 1_000));
    assert!(late.iter().all(|line| there.binary_search(line).is_ok()));
    assert_eq!(sim.truth().len(), before + 47);
    assert_eq!(sim.stats().inserted, 47);
    assert_eq!(collect(&sim, "").await, sorted(sim.truth()));

    let insert_every = Some(Arrival {
        every: 2,
        total: 5,
        records: NewRecords {
            count: 3,
            ..NewRecords::default()
        },
        after: true,
    });
    let moving = Sim::start(SimConfig {
        insert_every,
        ..config()
    })
    .unwrap();
    let pages = walk(&moving, "limit=500").await;
    assert_eq!(moving.truth().len(), before + 5);
    assert!(
        pages.iter().map(|page| lines(page).len()).sum::<usize>() > before,
        "the log slid, so some came twice"
    );
}

#[tokio::test]
async fn the_neighbours_of_the_list_answer() {
    let sim = sim(Quirks::default());
    let (_, since) = json(get(
        &sim,
        "/wiki/rest/api/audit/since?number=500&units=SECONDS&limit=5000",
    ))
    .await;
    assert_eq!(
        lines(&since).len(),
        sim.truth_between(T + 1_000 - 500_000, i64::MAX).len()
    );
    let (_, retention) = json(get(&sim, "/wiki/rest/api/audit/retention")).await;
    assert_eq!(retention.to_string(), r#"{"number":1,"units":"YEARS"}"#);
    let found = collect(&sim, "searchString=payroll-0&limit=100").await;
    assert_eq!(
        found,
        sorted(sim.truth().filter(|line| line.contains("payroll-0")))
    );

    let csv = get(&sim, "/wiki/rest/api/audit/export?format=csv")
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert!(csv.starts_with(b"\"Date\",\"Author\""));
    let zip = get(&sim, "/wiki/rest/api/audit/export?format=zip")
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert!(zip.windows(csv.len()).any(|window| window == csv));

    let inserted = CLIENT
        .post(format!("{}/_sim/records?count=2&late=10m", sim.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(inserted.text().await.unwrap().lines().count(), 2);
    let truth = CLIENT
        .get(format!("{}/_sim/truth", sim.url()))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert_eq!(
        truth.lines().collect::<Vec<_>>(),
        sim.truth().collect::<Vec<_>>()
    );
    let (_, stats) = json(CLIENT.get(format!("{}/_sim/stats", sim.url()))).await;
    assert_eq!(stats["inserted"], 2);
}
