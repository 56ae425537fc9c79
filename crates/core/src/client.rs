//! The API client of one site's audit log: one method an endpoint.

pub(crate) mod page;
pub(crate) mod pager;
pub(crate) mod query;
pub(crate) mod sites;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;

use self::pager::{Endpoint, PageFuture, Pager, Position};
use self::query::Pairs;
use self::sites::{CloudId, Site};
use crate::client::page::Page;
use crate::client::query::{AuditQuery, ExportQuery, SinceQuery};
use crate::error::{Error, ErrorKind};
use crate::http::Http;
use crate::http::authenticator::Authenticator;
use crate::http::origin::Origin;
use crate::http::transport::Response;
use crate::http::{Request, failure};
use crate::json::decode;

/// Where a site's API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteAddress {
    origin: Origin,
    base: String,
    gateway: bool,
}

impl SiteAddress {
    /// Through the gateway, `https://api.atlassian.com` but for tests: for OAuth, scoped tokens
    /// and service accounts.
    pub fn gateway(origin: Origin, cloud_id: &CloudId) -> Self {
        let base = format!("/ex/confluence/{cloud_id}/wiki/rest/api/audit");
        Self {
            origin,
            base,
            gateway: true,
        }
    }

    /// On the site's own host: for tokens without scopes only.
    pub fn direct(site: Origin) -> Self {
        Self {
            origin: site,
            base: "/wiki/rest/api/audit".into(),
            gateway: false,
        }
    }

    /// The one origin that requests go to.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

/// A client for one site's audit log. Clones share everything.
///
/// ```no_run
/// # async fn example() -> Result<(), confluence_audit_core::Error> {
/// use std::sync::Arc;
/// use confluence_audit_core::{
///     ApiToken, AuditClient, AuditQuery, CloudId, Http, Origin, SiteAddress,
/// };
///
/// let origin = Origin::parse("https://api.atlassian.com")?;
/// let site = SiteAddress::gateway(origin.clone(), &CloudId::new("1324a887-45db-1bf4-1e99-ef0ff456d421")?);
/// let token = ApiToken::new(origin, "auditor@example.com", std::env::var("TOKEN").unwrap().into())?;
/// let client = AuditClient::new(Http::builder().build(), site, Arc::new(token));
/// let page = client.audit(&AuditQuery::new().limit(10)).await?;
/// for record in page.records {
///     println!("{}", record.record()?.summary);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AuditClient(Arc<Inner>);

struct Inner {
    http: Http,
    site: SiteAddress,
    auth: Arc<dyn Authenticator>,
}

impl AuditClient {
    /// A client that asks `site` over `http` with the credentials of `auth`.
    pub fn new(http: Http, site: SiteAddress, auth: Arc<dyn Authenticator>) -> Self {
        Self(Arc::new(Inner { http, site, auth }))
    }

    /// The connections that it uses, for their [`stats`](Http::stats).
    pub fn http(&self) -> &Http {
        &self.0.http
    }

    /// Where it asks.
    pub fn site(&self) -> &SiteAddress {
        &self.0.site
    }

    /// One page of the log (`GET /wiki/rest/api/audit`).
    ///
    /// # Errors
    /// Every kind that is about the service, the network or the credentials; see [`crate::ErrorKind`].
    pub async fn audit(&self, query: &AuditQuery) -> Result<Page, Error> {
        self.page("", &query.pairs()).await
    }

    /// One page of a span back from the service's now (`GET /wiki/rest/api/audit/since`).
    ///
    /// # Errors
    /// As [`audit`](Self::audit).
    pub async fn audit_since(&self, query: &SinceQuery) -> Result<Page, Error> {
        self.page("/since", &query.pairs()).await
    }

    /// The log page by page.
    pub fn pages(&self, query: &AuditQuery) -> Pager {
        self.resume(Position::new(Endpoint::Audit, query.pairs()))
    }

    /// A span back from now, page by page.
    pub fn pages_since(&self, query: &SinceQuery) -> Pager {
        self.resume(Position::new(Endpoint::Since, query.pairs()))
    }

    /// Goes on where a walk stood.
    pub fn resume(&self, position: Position) -> Pager {
        let client = self.clone();
        let fetch = move |position: Position| -> PageFuture {
            let client = client.clone();
            Box::pin(async move { client.page_at(&position).await })
        };
        Pager::new(Box::new(fetch), position)
    }

    async fn page_at(&self, position: &Position) -> Result<Page, Error> {
        let path = match position.endpoint {
            Endpoint::Audit => "",
            Endpoint::Since => "/since",
        };
        self.page(path, &position.asks).await
    }

    /// The service's own export of the log, CSV or ZIP (`GET /wiki/rest/api/audit/export`).
    ///
    /// # Errors
    /// As [`audit`](Self::audit): [`crate::ErrorKind::NotJson`] when a page of HTML or nothing
    /// comes instead of a file, [`crate::ErrorKind::UnexpectedJson`] when JSON does.
    pub async fn export(&self, query: &ExportQuery) -> Result<Bytes, Error> {
        let pairs = query.pairs().encode();
        let path = self.path("/export");
        let request = Request {
            accept: "text/csv, application/zip",
            ..Request::get(&self.0.site.origin, &path, pairs.as_deref())
        };
        self.send(request, file).await
    }

    /// How long the site keeps records (`GET /wiki/rest/api/audit/retention`).
    ///
    /// # Errors
    /// As [`audit`](Self::audit).
    pub async fn retention(&self) -> Result<Retention, Error> {
        let path = self.path("/retention");
        self.send(Request::get(&self.0.site.origin, &path, None), |response| {
            decode::object(&response.body)
        })
        .await
    }

    /// The sites that the credentials reach; for bearer tokens on the gateway
    /// (`GET /oauth/token/accessible-resources`).
    ///
    /// # Errors
    /// As [`audit`](Self::audit).
    pub async fn accessible_resources(&self) -> Result<Vec<Site>, Error> {
        sites::accessible_resources(&self.0.http, &self.0.site.origin, &*self.0.auth).await
    }

    /// A GET of your own below `…/wiki/rest/api/audit`, with the same credentials, limits and
    /// retries: `path` is empty or begins with a slash, `query` is encoded. An answer without
    /// success is an error.
    ///
    /// # Errors
    /// As [`audit`](Self::audit).
    pub async fn raw(&self, path: &str, query: Option<&str>) -> Result<Response, Error> {
        let path = self.path(path);
        let request = Request::get(&self.0.site.origin, &path, query);
        self.send(request, |response| Ok(response.clone())).await
    }

    async fn page(&self, path: &str, pairs: &Pairs) -> Result<Page, Error> {
        let (path, query) = (self.path(path), pairs.encode());
        let request = Request::get(&self.0.site.origin, &path, query.as_deref());
        self.send(request, |response| {
            Page::parse(&response.body, response.server_time())
        })
        .await
    }

    async fn send<T>(
        &self,
        request: Request<'_>,
        read: impl Fn(&Response) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let gateway = self.0.site.gateway;
        let read = |response: &Response| {
            failure::of(response, gateway).map_or_else(|| read(response), Err)
        };
        self.0.http.send(request, Some(&*self.0.auth), read).await
    }

    fn path(&self, below: &str) -> String {
        format!("{}{below}", self.0.site.base)
    }
}

/// The file that an answer is. Neither a sign-in page nor an error object is one, whatever the
/// headers say: a file is CSV, which begins with a heading, or a ZIP archive.
fn file(response: &Response) -> Result<Bytes, Error> {
    let kind = response.headers.get("content-type");
    let kind = kind
        .map_or(&b""[..], http::HeaderValue::as_bytes)
        .to_ascii_lowercase();
    let what = match response.body.trim_ascii_start().first() {
        None => "nothing",
        Some(b'<') => "a page of HTML",
        _ if kind.starts_with(b"text/html") => "a page of HTML",
        Some(b'{' | b'[') => return Err(decode::unexpected(&response.body)),
        _ if kind.starts_with(b"application/json") => {
            return Err(decode::unexpected(&response.body));
        }
        _ => return Ok(response.body.clone()),
    };
    let message = format!("answered with {what} instead of a file");
    Err(Error::new(ErrorKind::NotJson, message))
}

impl fmt::Debug for AuditClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditClient")
            .field("site", &self.0.site)
            .field("auth", &self.0.auth)
            .finish_non_exhaustive()
    }
}

/// How long a site keeps records; at most a year by the documents.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Retention {
    /// How many units.
    pub number: u64,
    /// `MONTHS`, `DAYS`, `FOREVER` and so on: kept as text, for the set is open.
    pub units: String,
}

impl Retention {
    /// The longest that this can be, in days; `None` when it has no end or the unit is not known.
    ///
    /// ```
    /// use confluence_audit_core::Retention;
    ///
    /// let year: Retention = serde_json::from_str(r#"{"number":12,"units":"MONTHS"}"#).unwrap();
    /// assert_eq!(year.days(), Some(372));
    /// ```
    pub fn days(&self) -> Option<u64> {
        const DAY: u64 = 86_400_000;
        let millis = match self.units.to_ascii_uppercase().as_str() {
            "NANOS" | "MICROS" | "MILLIS" => 1,
            "SECONDS" => 1_000,
            "MINUTES" => 60_000,
            "HOURS" => 3_600_000,
            "HALF_DAYS" => DAY / 2,
            "DAYS" => DAY,
            "WEEKS" => 7 * DAY,
            "MONTHS" => 31 * DAY,
            "YEARS" => 366 * DAY,
            "DECADES" => 3660 * DAY,
            _ => return None,
        };
        Some(self.number.saturating_mul(millis).div_ceil(DAY))
    }
}
