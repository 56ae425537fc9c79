//! The site seen from outside, through a plain HTTP client.

#![expect(
    clippy::unwrap_used,
    reason = "a test and its helpers fail by panicking"
)]

mod access;
mod client;
mod config;
mod fast;
mod faults;
mod oauth;
mod pages;
