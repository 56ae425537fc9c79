//! The way of one request: what befalls it, where it leads, who may go there, and how the answer is dressed.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Request, Response};
use jiff::Timestamp;
use serde_json::json;

use crate::access::admit;
use crate::body::Body;
use crate::control;
use crate::error_response;
use crate::export::export;
use crate::fault::Fault;
use crate::lock::lock;
use crate::page::Pager;
use crate::query::{Asked, pairs};
use crate::random::{mix, uuid};
use crate::response::{Answer, End};
use crate::route::Route;
use crate::selection::Selection;
use crate::state::Site;
use crate::stats::Seen;

/// The most that a request's body may hold.
const BODY: usize = 64 * 1024;

/// What becomes of a request.
pub(crate) enum Fate {
    Answer(Response<Body>),
    Reset,
}

impl Site {
    /// One request from its head to its fate.
    pub(crate) async fn respond(&self, request: Request<Incoming>) -> Fate {
        let (parts, body) = request.into_parts();
        let number = lock(&self.book).number();
        let salt = mix(self.config.seed, number);
        let route = Route::of(parts.uri.path(), self.cloud_id());
        let _open = route.is_list().then(|| Open::new(self));
        let fault = match route {
            Route::List(_) | Route::Since(_) => lock(&self.fortune).next_audit(),
            Route::Token => lock(&self.fortune).next_token(),
            _ => Fault::Pass,
        };
        if !route.is_tool() {
            wait(self.config.latency).await;
        }
        if let Fault::Slow(by) = fault {
            wait(by).await;
        }
        let retry_after = lock(&self.fortune).rates.retry_after;
        let mut answer = match error_response::instead(fault, retry_after, self.now()) {
            Some(answer) => answer,
            // Also where the answer is about to get lost: what it brought about stays.
            None => self.dispatch(route, number, salt, &parts, body).await,
        };
        match fault {
            Fault::Reset | Fault::Hang => {
                let outcome = if fault == Fault::Hang {
                    "hang"
                } else {
                    "reset"
                };
                self.note(&parts, outcome.to_owned());
                if fault == Fault::Hang {
                    wait(self.config.hang).await;
                }
                return Fate::Reset;
            }
            Fault::CutBody => answer.end = End::Cut,
            Fault::CutChunked => answer.end = End::CutChunked,
            Fault::StallBody => answer.end = End::Stall(self.config.hang),
            _ => {}
        }
        self.dress(&mut answer, &parts, salt, route);
        self.note(&parts, answer.outcome());
        {
            let stats = &mut lock(&self.book).stats;
            stats.records_served += answer.records as u64;
            stats.bytes_served += answer.len() as u64;
        }
        Fate::Answer(answer.into_response(salt))
    }

    async fn dispatch(
        &self,
        route: Route,
        number: u64,
        salt: u64,
        parts: &Parts,
        body: Incoming,
    ) -> Answer {
        if route == Route::Nowhere {
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
            Route::List(door)
            | Route::Since(door)
            | Route::Export(door)
            | Route::Retention(door) => {
                let audit = admit(self, door, authorization)
                    .and_then(|()| self.audit(route, query, number, self.compresses(parts)));
                audit.unwrap_or_else(|refused| refused)
            }
            Route::TenantInfo => Answer::json(200, &json!({"cloudId": self.config.cloud_id})),
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
            Route::Truth => control::tell_truth(self, query),
            Route::Stats => {
                Answer::json(200, &serde_json::to_value(self.stats()).unwrap_or_default())
            }
            Route::Records => control::insert_by_hand(self, query),
            Route::Nowhere => error_response::not_found(),
        }
    }

    /// The audit endpoints, for a caller who may.
    fn audit(
        &self,
        route: Route,
        query: Option<&str>,
        number: u64,
        compresses: bool,
    ) -> Result<Answer, Answer> {
        let quirks = *lock(&self.quirks);
        let (asked, path) = match route {
            Route::Retention(_) => {
                let retention = &self.config.retention;
                return Ok(Answer::json(
                    200,
                    &json!({"number": retention.number, "units": retention.units}),
                ));
            }
            Route::Export(_) => {
                let asked = Asked::between(query)?;
                let selection =
                    Selection::new(lock(&self.log).clone(), &self.world, &asked, &quirks);
                return Ok(export(
                    selection,
                    self.world,
                    quirks.order,
                    asked.get("format").unwrap_or("csv"),
                ));
            }
            Route::Since(_) => (Asked::since(query, self.now())?, "/rest/api/audit/since"),
            _ => (Asked::between(query)?, "/rest/api/audit"),
        };
        self.arrive(false);
        let log = lock(&self.log).clone();
        self.arrive(true);
        let selection = Selection::new(log, &self.world, &asked, &quirks);
        let pager = Pager {
            selection: &selection,
            world: self.world,
            quirks,
            seed: self.config.seed,
            url: &self.url,
            path,
            salt: number,
            fast: self.fast.as_ref().map(|fast| (fast, compresses)),
        };
        let page = pager.page(&asked);
        let mut answer = Answer::new(200, "application/json", page.content);
        answer.records = page.records;
        Ok(if page.is_gzip {
            answer.with("Content-Encoding", "gzip")
        } else {
            answer
        })
    }

    /// Whether an answer to this request is compressed.
    fn compresses(&self, parts: &Parts) -> bool {
        let accepts = parts
            .headers
            .get("accept-encoding")
            .and_then(|value| value.to_str().ok());
        lock(&self.quirks).gzip && accepts.is_some_and(|value| value.contains("gzip"))
    }

    /// Adds what every answer of the service carries.
    fn dress(&self, answer: &mut Answer, parts: &Parts, salt: u64, route: Route) {
        let quirks = *lock(&self.quirks);
        let trace = uuid(salt, mix(salt, 1));
        answer.headers.push(("atl-traceid", trace.replace('-', "")));
        answer.headers.push(("atl-request-id", trace));
        if !quirks.omit_date {
            let now = Timestamp::from_millisecond(self.now()).unwrap_or_default();
            answer
                .headers
                .push(("Date", error_response::http_date(now)));
        }
        if quirks.deprecation_warning && !route.is_tool() {
            let warning = "299 - \"This endpoint is deprecated and will be removed\"".to_owned();
            answer.headers.push(("Warning", warning));
        }
        let is_done = answer
            .headers
            .iter()
            .any(|(name, _)| *name == "Content-Encoding");
        if !is_done && self.compresses(parts) {
            answer.gzip();
        }
    }

    fn note(&self, parts: &Parts, outcome: String) {
        let seen = Seen {
            method: parts.method.to_string(),
            target: parts.uri.to_string(),
            outcome,
        };
        lock(&self.book).note(parts.uri.path(), seen);
    }
}

/// Counts a request as open, until its client goes away at the latest.
struct Open<'a>(&'a Site);

impl<'a> Open<'a> {
    fn new(site: &'a Site) -> Self {
        lock(&site.book).enter();
        Self(site)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        lock(&self.0.book).in_flight -= 1;
    }
}

/// A timer rounds up to its next tick, so no wait is no timer.
async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}
