//! The programs as their users run them: started as processes in an empty environment, against a simulated site.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that fails here fails its test"
)]

mod addresses;
mod check;
mod consent;
mod credentials;
mod daemon;
mod daemon_ends;
mod daemon_process;
mod dry_run;
mod errors;
mod faults;
mod fetch;
mod formats;
mod lines;
mod many_outputs;
mod network;
mod oauth_killed;
mod oauth_setup;
mod oauth_shared;
mod outputs;
mod program;
mod quirks;
mod raw;
mod recorded;
mod recover;
mod sandbox;
mod server;
mod site;
mod status;
