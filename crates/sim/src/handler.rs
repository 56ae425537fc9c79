//! Request handler: injects the fault, finds the endpoint, checks access, and adds the headers of every response.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::Request;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use jiff::Timestamp;
use serde_json::json;

use crate::access::authorize;
use crate::body::Body;
use crate::control;
use crate::error_response;
use crate::export::export;
use crate::fault::Fault;
use crate::lock::lock;
use crate::page::Pager;
use crate::query::{Query, pairs};
use crate::random::{mix, uuid};
use crate::response::{BodyFault, Response};
use crate::route::Route;
use crate::selection::Selection;
use crate::state::SimState;
use crate::stats::LoggedRequest;

/// The most that a request's body may hold.
const BODY: usize = 64 * 1024;

/// How a request ends.
pub(crate) enum Outcome {
    Response(hyper::Response<Body>),
    Reset,
}

impl SimState {
    /// Handles one request.
    pub(crate) async fn handle(&self, request: Request<Incoming>) -> Outcome {
        let (parts, body) = request.into_parts();
        let number = lock(&self.requests).number();
        let salt = mix(self.config.seed, number);
        let route = Route::of(parts.uri.path(), self.cloud_id());
        let _open = route.is_list().then(|| OpenRequest::new(self));
        let fault = match route {
            Route::List(_) | Route::Since(_) => lock(&self.faults).next_audit(),
            Route::Token => lock(&self.faults).next_token(),
            _ => Fault::Pass,
        };
        if !route.is_control() {
            wait(self.config.latency).await;
        }
        if let Fault::Slow(by) = fault {
            wait(by).await;
        }
        let retry_after = lock(&self.faults).rates.retry_after;
        let mut response = match error_response::of_fault(fault, retry_after, self.now()) {
            Some(response) => response,
            // Also where the response is about to be lost: its effects stay.
            None => self.dispatch(route, number, salt, &parts, body).await,
        };
        match fault {
            Fault::Reset => {
                self.log_request(&parts, "reset".to_owned());
                return Outcome::Reset;
            }
            Fault::Hang => {
                self.log_request(&parts, "hang".to_owned());
                wait(self.config.hang).await;
                return Outcome::Reset;
            }
            Fault::CutBody => response.broken = Some(BodyFault::Cut),
            Fault::CutChunked => response.broken = Some(BodyFault::CutChunked),
            Fault::StallBody => response.broken = Some(BodyFault::Stall(self.config.hang)),
            _ => {}
        }
        self.add_common_headers(&mut response, salt, route);
        if self.compresses(&parts) {
            response.gzip();
        }
        self.log_request(&parts, response.outcome());
        {
            let stats = &mut lock(&self.requests).stats;
            stats.records_served += response.records as u64;
            stats.bytes_served += response.len() as u64;
        }
        Outcome::Response(response.into_http(salt))
    }

    async fn dispatch(
        &self,
        route: Route,
        number: u64,
        salt: u64,
        parts: &Parts,
        body: Incoming,
    ) -> Response {
        if route == Route::Unknown {
            return error_response::not_found();
        }
        if parts.method != route.method() {
            return error_response::wrong_method();
        }
        let query = parts.uri.query();
        let authorization = parts
            .headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        match route {
            Route::List(host)
            | Route::Since(host)
            | Route::Export(host)
            | Route::Retention(host) => authorize(self, host, authorization)
                .and_then(|()| self.audit(route, query, number, self.compresses(parts)))
                .unwrap_or_else(|refused| refused),
            Route::TenantInfo => Response::json(200, &json!({"cloudId": self.config.cloud_id})),
            Route::Authorize => lock(&self.oauth).authorize(&pairs(query)),
            Route::Token => match Limited::new(body, BODY).collect().await {
                Ok(body) => {
                    let now = self.now();
                    lock(&self.oauth).token(&body.to_bytes(), now)
                }
                Err(_) => error_response::bad_request("The body is too long or cut"),
            },
            Route::Resources => {
                let now = self.now();
                let oauth = lock(&self.oauth);
                let bearer = authorization.and_then(|value| value.strip_prefix("Bearer "));
                match bearer.and_then(|token| oauth.scopes(token, now)) {
                    Some(_) => oauth.resources(&self.config.cloud_id, &self.url, salt),
                    None => error_response::unauthorized(),
                }
            }
            Route::Truth => control::truth(self, query),
            Route::Stats => {
                Response::json(200, &serde_json::to_value(self.stats()).unwrap_or_default())
            }
            Route::Records => control::insert_records(self, query),
            Route::Unknown => error_response::not_found(),
        }
    }

    /// The audit endpoints, for an authorized caller.
    fn audit(
        &self,
        route: Route,
        query: Option<&str>,
        number: u64,
        compresses: bool,
    ) -> Result<Response, Response> {
        let quirks = *lock(&self.quirks);
        let (query, path) = match route {
            Route::Retention(_) => {
                let retention = &self.config.retention;
                return Ok(Response::json(
                    200,
                    &json!({"number": retention.number, "units": retention.units}),
                ));
            }
            Route::Export(_) => {
                let query = Query::between(query)?;
                let log = lock(&self.log).clone();
                let selection = Selection::new(log, &self.generator, &query, &quirks);
                return Ok(export(
                    selection,
                    self.generator,
                    quirks.order,
                    query.get("format").unwrap_or("csv"),
                ));
            }
            Route::Since(_) => (Query::since(query, self.now())?, "/rest/api/audit/since"),
            _ => (Query::between(query)?, "/rest/api/audit"),
        };
        self.arrive(false);
        let log = lock(&self.log).clone();
        self.arrive(true);
        let selection = Selection::new(log, &self.generator, &query, &quirks);
        let pager = Pager {
            selection: &selection,
            generator: self.generator,
            quirks,
            seed: self.config.seed,
            url: &self.url,
            path,
            salt: number,
            cache: self.page_cache.as_ref().map(|cache| (cache, compresses)),
        };
        let page = pager.page(&query);
        let mut response = Response::new(200, "application/json", page.content);
        response.records = page.records;
        Ok(if page.is_gzip {
            response.with("Content-Encoding", "gzip")
        } else {
            response
        })
    }

    /// Whether the response to this request is compressed.
    fn compresses(&self, parts: &Parts) -> bool {
        let accepts = parts
            .headers
            .get("accept-encoding")
            .and_then(|value| value.to_str().ok());
        lock(&self.quirks).gzip && accepts.is_some_and(|value| value.contains("gzip"))
    }

    /// Adds what every response of the service carries.
    fn add_common_headers(&self, response: &mut Response, salt: u64, route: Route) {
        let quirks = *lock(&self.quirks);
        let trace = uuid(salt, mix(salt, 1));
        response.add("atl-traceid", trace.replace('-', ""));
        response.add("atl-request-id", trace);
        if !quirks.omit_date {
            let now = Timestamp::from_millisecond(self.now()).unwrap_or_default();
            response.add("Date", error_response::http_date(now));
        }
        if quirks.deprecation_warning && !route.is_control() {
            response.add(
                "Warning",
                "299 - \"This endpoint is deprecated and will be removed\"",
            );
        }
    }

    fn log_request(&self, parts: &Parts, outcome: String) {
        let request = LoggedRequest {
            method: parts.method.to_string(),
            target: parts.uri.to_string(),
            outcome,
        };
        lock(&self.requests).log(parts.uri.path(), request);
    }
}

/// Counts a request as open, until its client goes away at the latest.
struct OpenRequest<'a>(&'a SimState);

impl<'a> OpenRequest<'a> {
    fn new(state: &'a SimState) -> Self {
        lock(&state.requests).open();
        Self(state)
    }
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        lock(&self.0.requests).in_flight -= 1;
    }
}

/// A timer rounds up to its next tick, so no wait is no timer.
async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}
