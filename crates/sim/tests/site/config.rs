//! The configuration file: the library's settings, under the same names.

use std::time::Duration;

use confluence_audit_sim::{
    Account, Arrival, Burst, FaultRates, KeyOrder, NewRecords, NextForm, OAuthConfig, Order,
    Quirks, RetryHeader, SimConfig, SizeForm, When,
};

/// One key of each kind.
const FILE: &str = r#"
seed = 7
oldest = -5
newest = 1_750_000_000_000
twins = 0
hostile = 0.5
clock_skew_ms = -3_600_000
cloud_id = "acme"
any_cloud_id = true
bursts = [{ records = 1500 }, { twins = 1.0, at = 9 }]
hang = "20ms"

[quirks]
order = "oldest-first"
start_inclusive = false
max_limit = 100
next = "absolute-elsewhere"
size = "lie"
empty_every = 3
key_order = "reversed"
pretty = true

[insert_every]
every = 2
after = false
total = 9
records = { count = 3, when = { late = "10m" }, twins = true }

[faults]
rate_limited = 0.1
retry_header = "reset-with-seconds"
retry_after = "2s"
slow = 1
slow_by = "1m 30s"

[account]
plan_free = true

[oauth]
leeway = "0s"
other_sites = 2
"#;

fn read(text: &str) -> Result<SimConfig, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn an_empty_file_is_the_default() {
    let config = read("").unwrap();
    assert_eq!(format!("{config:?}"), format!("{:?}", SimConfig::default()));
}

#[test]
fn every_kind_of_setting_can_stand_in_the_file() {
    let expected = SimConfig {
        seed: 7,
        oldest: Some(-5),
        newest: Some(1_750_000_000_000),
        twins: 0.0,
        hostile: 0.5,
        clock_skew_ms: -3_600_000,
        cloud_id: "acme".to_owned(),
        any_cloud_id: true,
        bursts: vec![
            Burst {
                records: 1_500,
                ..Burst::default()
            },
            Burst {
                twins: 1.0,
                at: Some(9),
                ..Burst::default()
            },
        ],
        hang: Duration::from_millis(20),
        quirks: Quirks {
            order: Order::OldestFirst,
            start_inclusive: false,
            max_limit: Some(100),
            next: NextForm::AbsoluteElsewhere,
            size: SizeForm::Lie,
            empty_every: Some(3),
            key_order: KeyOrder::Reversed,
            pretty: true,
            ..Quirks::default()
        },
        insert_every: Some(Arrival {
            every: 2,
            after: false,
            total: 9,
            records: NewRecords {
                count: 3,
                when: When::Late(Duration::from_mins(10)),
                twins: true,
            },
        }),
        faults: FaultRates {
            rate_limited: 0.1,
            retry_header: Some(RetryHeader::ResetWithSeconds),
            retry_after: Duration::from_secs(2),
            slow: 1.0,
            slow_by: Duration::from_secs(90),
            ..FaultRates::default()
        },
        account: Account {
            plan_free: true,
            ..Account::default()
        },
        oauth: OAuthConfig {
            leeway: Duration::ZERO,
            other_sites: 2,
            ..OAuthConfig::default()
        },
        ..SimConfig::default()
    };
    assert_eq!(
        format!("{:?}", read(FILE).unwrap()),
        format!("{expected:?}")
    );
}

#[test]
fn mistakes_in_the_file_are_refused() {
    for (text, complaint) in [
        ("record = 5", "unknown field `record`"),
        ("[quirks]\ngzipp = true", "unknown field `gzipp`"),
        ("bursts = [{ size = 5 }]", "unknown field `size`"),
        ("[insert_every.records]\nn = 1", "unknown field `n`"),
        ("[faults]\nhung = 1.0", "unknown field `hung`"),
        ("[account]\nfree = true", "unknown field `free`"),
        ("[oauth]\nsites = 1", "unknown field `sites`"),
        ("[retention]\nmonths = 1", "unknown field `months`"),
        ("twins = 1.5", "expected a number from 0 to 1"),
        ("[faults]\nreset = -0.1", "expected a number from 0 to 1"),
        ("latency = \"-1s\"", "negative"),
        ("latency = \"soon\"", "latency"),
        ("quirks.order = \"none\"", "unknown variant `none`"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(complaint), "{text}: {error}");
    }
}
