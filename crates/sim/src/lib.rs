//! A Confluence Cloud site on loopback, with every quirk as a switch: for the demo, the tests and the benchmarks.
//!
//! A [`Sim`] serves the audit endpoints as the service does, or as it may: in another order, with another form of
//! `next`, with ends in or out, with responses lost in every way. Its records are made from a seed when they are asked
//! for, so a million of them take no room. And it knows the ground truth: [`Sim::truth`] is the multiset that
//! a correct collector ends with.
//!
//! ```
//! use confluence_audit_sim::{Fault, NewRecords, Quirks, Sim, SimConfig};
//!
//! let sim = Sim::start(SimConfig {
//!     records: 1_000_000,
//!     quirks: Quirks { end_inclusive: false, ..Quirks::default() },
//!     ..SimConfig::default()
//! })?;
//! sim.script([Fault::CutBody, Fault::Pass, Fault::Reset]);
//! let late = sim.insert(&NewRecords { count: 3, ..NewRecords::default() });
//!
//! // Give `sim.url()` as the gateway, the auth host and the site's address alike, collect, and compare.
//! assert_eq!(sim.truth().len(), 1_000_003);
//! assert_eq!(sim.truth_between(sim.now() - 1_000, sim.now()).collect::<Vec<_>>(), late);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Configuration file
//!
//! `confluence-audit-sim --config FILE` reads the fields of [`SimConfig`] from TOML. Every key may be left out; enums
//! are in kebab case, durations like `200ms` or `10m`.
//!
//! ```
//! # let config: confluence_audit_sim::SimConfig = toml::from_str(r#"
//! records = 5000
//! bursts = [{ records = 1500 }]
//! insert_every = { every = 2, records = { count = 3, when = { late = "10m" } } }
//! faults = { rate_limited = 0.05, retry_header = "date", slow = 0.1, slow_by = "2s" }
//!
//! [quirks]
//! order = "oldest-first"
//! max_limit = 100
//! # "#).unwrap();
//! # assert_eq!(config.faults.slow_by.as_secs(), 2);
//! ```
//!
//! # Paths
//!
//! | path | what |
//! |---|---|
//! | `/ex/confluence/{cloudId}/wiki/rest/api/audit` and `/since`, `/export`, `/retention` | the gateway: scoped token, OAuth |
//! | `/wiki/rest/api/audit` … | the site's own host: unscoped token |
//! | `/_edge/tenant_info` | the cloud id |
//! | `/authorize`, `/oauth/token`, `/oauth/token/accessible-resources` | OAuth 2.0 |
//! | `GET /_sim/truth?from=&to=` | all lines of the truth, NDJSON |
//! | `GET /_sim/stats` | [`Stats`] as JSON |
//! | `POST /_sim/records?count=5&late=10m&twins=true` (or `at=`) | inserts records, answers with their lines |

mod access;
mod arrival;
mod body;
mod config;
mod control;
mod error_response;
mod export;
mod fault;
mod generator;
mod ground_truth;
mod handler;
mod hostile;
mod kinds;
mod lock;
mod log;
mod oauth;
mod page;
mod page_cache;
mod query;
mod quirks;
mod random;
mod record;
mod response;
mod route;
mod selection;
mod server;
mod share;
mod sim;
mod state;
mod stats;

pub use arrival::{Arrival, NewRecords, When};
pub use config::{
    API_TOKEN, AUDIT_SCOPE, Account, Burst, CLIENT_ID, CLIENT_SECRET, EMAIL, OAuthConfig,
    Retention, SimConfig, UNSCOPED_TOKEN,
};
pub use fault::{Fault, FaultRates, RetryHeader};
pub use ground_truth::GroundTruth;
pub use oauth::Consent;
pub use quirks::{KeyOrder, NextForm, Order, Quirks, SizeForm};
pub use sim::Sim;
pub use stats::{LoggedRequest, Stats};
