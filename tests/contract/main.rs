//! The contract with Confluence Cloud: what the core asks, and what it makes of the answers in
//! `fixtures/`, over real HTTP on loopback.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails here fails its test"
)]

mod audit;
mod auth;
mod clock;
mod endpoints;
mod errors;
mod fixture;
mod fixtures;
mod gate;
mod kept;
mod large;
mod log;
mod oauth;
mod pager;
mod redaction;
mod renewal;
mod retries;
mod site;
mod sites;
mod wire;
