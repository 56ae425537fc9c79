//! Confluence Cloud's audit log for Rust: records that lose nothing, credentials, a client with
//! one retry layer, and a pager.
//!
//! - [`RawRecord`] is a record's own bytes on one line, with its time and its [`Fingerprint`];
//!   [`AuditRecord`] is the same typed.
//! - [`Authenticator`] is a credential for one [`Origin`]: [`ApiToken`], [`OAuth`] (with a
//!   [`TokenStore`]) or [`ServiceAccount`].
//! - [`AuditClient`] asks one site, over an [`Http`] that limits and retries; [`Pager`] is its log
//!   page by page.
//! - [`Transport`] and [`Secrets`] are what an [`Http`] stands on, for requests to other services.
//! - [`Error`] says what went wrong, and [`ErrorKind::remedy`] what to do.
//!
//! The library knows no file, no configuration and no clock: see [`Runtime`].
//!
//! Facts about the API are from Atlassian's REST documentation for Confluence Cloud, version 1,
//! group "Audit", and its guide to OAuth 2.0 (3LO), unless a comment says otherwise.
//!
//! ```no_run
//! # async fn example() -> Result<(), confluence_audit_core::Error> {
//! use std::sync::Arc;
//! use confluence_audit_core::{ApiToken, AuditClient, AuditQuery, Http, Origin, SiteAddress, tenant_info};
//! use futures_util::TryStreamExt;
//!
//! let http = Http::builder().user_agent("my-collector/1.0").build();
//! let cloud_id = tenant_info(&http, &Origin::parse("https://acme.atlassian.net")?).await?;
//! let gateway = Origin::parse("https://api.atlassian.com")?;
//! let token = ApiToken::new(gateway.clone(), "auditor@acme.example", "…".into())?;
//! let client = AuditClient::new(http, SiteAddress::gateway(gateway, &cloud_id), Arc::new(token));
//!
//! let mut records = std::pin::pin!(client.pages(&AuditQuery::new()).records());
//! while let Some(record) = records.try_next().await? {
//!     println!("{}", record.as_str());
//! }
//! # Ok(())
//! # }
//! ```

mod auth;
mod client;
mod creation_date;
mod error;
mod fingerprint;
mod http;
mod json;
mod printable;
pub mod read;
mod record;
mod runtime;
mod time;
mod typed;

pub use self::http::authenticator::Authenticator;
pub use self::http::origin::Origin;
pub use self::http::rate_limit;
pub use self::http::retry::RetryPolicy;
pub use self::http::secrets::Secrets;
pub use self::http::transport::{Response, Transport, TransportError, TransportOptions};
pub use self::http::{Gate, Http, HttpBuilder, HttpStats};
pub use auth::api_token::ApiToken;
pub use auth::authorization_state::{AuthorizationStates, StateVerdict};
pub use auth::oauth::{OAuth, OAuthApp};
pub use auth::service_account::ServiceAccount;
pub use auth::token_store::{LockedTokens, MemoryTokenStore, TokenSet, TokenStore};
pub use client::page::Page;
pub use client::pager::{Pager, Position};
pub use client::query::{AuditQuery, ExportQuery, SinceQuery, TimeUnit};
pub use client::sites::{CloudId, Site, accessible_resources, tenant_info};
pub use client::{AuditClient, Retention, SiteAddress};
pub use error::{Error, ErrorKind};
pub use fingerprint::Fingerprint;

pub use printable::{printable, printable_json};

pub use record::RawRecord;

pub use runtime::{Runtime, SystemRuntime};

pub use time::Timestamp;

pub use typed::{AffectedObject, AuditRecord, Author, ChangedValue};

/// The README's example is compiled with the others.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
