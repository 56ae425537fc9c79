//! Configuration of a simulated site.

use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::required::deserialize as duration;
use serde::Deserialize;

use crate::arrival::Arrival;
use crate::fault::FaultRates;
use crate::quirks::Quirks;
use crate::share::share;

/// The email that goes with both API tokens unless the configuration says otherwise.
pub const EMAIL: &str = "auditor@example.com";
/// The scoped API token, good on the gateway alone. A fixed word, so that a test can look for it where it must not be.
pub const API_TOKEN: &str = "canary-scoped-api-token-5ac1=";
/// The unscoped API token, good on the site's own host alone.
pub const UNSCOPED_TOKEN: &str = "canary-unscoped-api-token-0d7e=";
/// The OAuth app's client id.
pub const CLIENT_ID: &str = "sim-client-id";
/// The OAuth app's client secret.
pub const CLIENT_SECRET: &str = "canary-client-secret-91b4";
/// The scope that the audit endpoints ask for.
pub const AUDIT_SCOPE: &str = "read:audit-log:confluence";

/// A site to simulate. Every field has a default; set what the test is about.
///
/// The tokens in here are made up and open nothing else, so `Debug` shows them.
///
/// ```
/// use confluence_audit_sim::{Burst, Order, Quirks, SimConfig};
///
/// let config = SimConfig {
///     records: 5_000,
///     bursts: vec![Burst { records: 1_500, ..Burst::default() }],
///     quirks: Quirks { order: Order::OldestFirst, max_limit: Some(100), ..Quirks::default() },
///     ..SimConfig::default()
/// };
/// # assert_eq!(config.seed, 1);
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimConfig {
    /// The port on 127.0.0.1; 0 lets the system choose.
    pub port: u16,
    /// What all records, faults and tokens are derived from.
    pub seed: u64,
    /// How many records the log holds at first, bursts not counted.
    pub records: usize,
    /// Time of the oldest record in epoch milliseconds; by default 300 days before the newest.
    pub oldest: Option<i64>,
    /// Time of the newest record in epoch milliseconds; by default five seconds before the site's now, so that times
    /// (and nothing else) depend on when the site was started.
    pub newest: Option<i64>,
    /// The share of records that equal the record before them to the byte, time included.
    #[serde(deserialize_with = "share")]
    pub twins: f64,
    /// The share of records that carry a string made to break parsers, terminals or spreadsheets.
    #[serde(deserialize_with = "share")]
    pub hostile: f64,
    /// The share of records written by "System", an author without any id.
    #[serde(deserialize_with = "share")]
    pub system: f64,
    /// Milliseconds that hold many records, on top of `records`.
    pub bursts: Vec<Burst>,
    /// A fixed now in epoch milliseconds instead of the host's clock. See [`Sim::set_now`](crate::Sim::set_now).
    pub now: Option<i64>,
    /// How far the site's clock is ahead of the host's, in milliseconds: seen in `Date` and in the times of new records.
    pub clock_skew_ms: i64,
    /// The site's cloud id.
    pub cloud_id: String,
    /// Every other cloud id leads to the same log: as many sites as anybody likes.
    pub any_cloud_id: bool,
    /// The email accepted with either API token.
    pub email: String,
    /// The scoped API token.
    pub api_token: String,
    /// The unscoped API token.
    pub unscoped_token: String,
    /// The OAuth app and how its tokens live.
    pub oauth: OAuthConfig,
    /// What the caller's account lacks, if anything.
    pub account: Account,
    /// The response of `audit/retention`.
    pub retention: Retention,
    /// How pages look.
    pub quirks: Quirks,
    /// Records that arrive while a client pages.
    pub insert_every: Option<Arrival>,
    /// What goes wrong by chance.
    pub faults: FaultRates,
    /// Keep what has been rendered, so that the site costs next to nothing: for benchmarks. It has no effect on a site
    /// with quirks, bursts or arrivals.
    pub fast: bool,
    /// How long every response takes at least.
    #[serde(deserialize_with = "duration")]
    pub latency: Duration,
    /// How long a hung request is held before its connection is reset.
    #[serde(deserialize_with = "duration")]
    pub hang: Duration,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            port: 0,
            seed: 1,
            records: 1_000,
            oldest: None,
            newest: None,
            twins: 0.02,
            hostile: 0.0,
            system: 0.1,
            bursts: Vec::new(),
            now: None,
            clock_skew_ms: 0,
            cloud_id: "5f2c8d1e-7a40-4b6b-9e53-0c1d2e3f4a5b".to_owned(),
            any_cloud_id: false,
            email: EMAIL.to_owned(),
            api_token: API_TOKEN.to_owned(),
            unscoped_token: UNSCOPED_TOKEN.to_owned(),
            oauth: OAuthConfig::default(),
            account: Account::default(),
            retention: Retention::default(),
            quirks: Quirks::default(),
            insert_every: None,
            faults: FaultRates::default(),
            fast: false,
            latency: Duration::ZERO,
            hang: Duration::from_mins(10),
        }
    }
}

/// One millisecond that holds many records, as a bulk operation leaves behind.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Burst {
    /// How many records stand in the millisecond.
    pub records: usize,
    /// The share of them that equal their neighbour to the byte.
    #[serde(deserialize_with = "share")]
    pub twins: f64,
    /// The millisecond; by default one chosen by the seed.
    pub at: Option<i64>,
}

impl Default for Burst {
    fn default() -> Self {
        Self {
            records: 200,
            twins: 0.2,
            at: None,
        }
    }
}

/// The OAuth app and the life of its tokens.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OAuthConfig {
    /// The app's client id.
    pub client_id: String,
    /// The app's client secret.
    pub client_secret: String,
    /// How long an access token lives.
    #[serde(deserialize_with = "duration")]
    pub expires_in: Duration,
    /// How long a refresh token still works after its first use. Its use after that kills the family.
    #[serde(deserialize_with = "duration")]
    pub leeway: Duration,
    /// Whether the person at `/authorize` declines.
    pub decline: bool,
    /// How many other sites `accessible-resources` names. They are names only: their paths answer 404.
    pub other_sites: usize,
}

impl Default for OAuthConfig {
    fn default() -> Self {
        Self {
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            expires_in: Duration::from_hours(1),
            leeway: Duration::from_mins(10),
            decline: false,
            other_sites: 0,
        }
    }
}

/// What is wrong with the caller's account or the site's plan.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Account {
    /// The site is on the Free plan: 403.
    pub plan_free: bool,
    /// The caller is no Confluence administrator: 403.
    pub not_admin: bool,
    /// Neither the scoped token nor any OAuth token has the audit scope: 401 with `X-Failure-Category`.
    pub missing_scope: bool,
    /// Wrong Basic credentials are answered with a page of HTML rather than with JSON.
    pub html_401: bool,
}

/// The response of `audit/retention`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// How many units records are kept.
    pub number: u32,
    /// The unit, by its name in the API: `MONTHS`, `DAYS` …
    pub units: String,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            number: 1,
            units: "YEARS".to_owned(),
        }
    }
}
