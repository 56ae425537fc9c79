//! Fault injection: by a script for the next requests, else by chance at given rates.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use jiff::fmt::serde::unsigned_duration::required::deserialize as duration;
use serde::Deserialize;

use crate::share::share;

/// A fault injected into one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// None: a script can let a request pass.
    Pass,
    /// This status with a short body.
    Status(u16),
    /// 429 with this form of advice.
    RateLimited(RetryHeader),
    /// 503 with this form of advice.
    Unavailable(RetryHeader),
    /// 200 and a sign-in page in HTML.
    SignInPage,
    /// 200 and a text that is not JSON although it says so.
    NotJson,
    /// 200 and JSON of another shape.
    WrongJson,
    /// The correct response with its `Content-Length`, but the connection closes before the end.
    CutBody,
    /// The correct response in chunks, but the connection closes before the last one.
    CutChunked,
    /// The beginning of the correct response, then silence.
    StallBody,
    /// The connection is reset instead of a response.
    Reset,
    /// No response until the client gives up, or [`SimConfig::hang`](crate::SimConfig::hang) has passed.
    Hang,
    /// The correct response, this much later.
    Slow(Duration),
    /// 401 as for wrong or expired credentials.
    Unauthorized,
    /// 401 as for a missing scope.
    ScopeMismatch,
    /// 403 as for a caller who is no administrator.
    NotPermitted,
    /// 403 as on the Free plan.
    FreePlan,
    /// 404 as for a wrong cloud id.
    NotFound,
}

/// How a response says when to retry, and how it fails to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryHeader {
    /// `Retry-After: 1`.
    Seconds,
    /// `Retry-After` as an HTTP date.
    Date,
    /// `X-RateLimit-Reset: 2026-03-26T16:00:05Z`.
    ResetWithSeconds,
    /// `X-RateLimit-Reset: 2026-03-26T16:00Z`: the seconds are cut off, so it often lies in the past.
    ResetWithoutSeconds,
    /// No advice at all.
    Absent,
    /// `Retry-After: soon`.
    Garbage,
    /// `Retry-After: -5`.
    Negative,
    /// `Retry-After: 99999999999999999999`.
    Huge,
}

/// Probabilities by request to the list of records, each between 0 and 1. Their sum should not exceed 1.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FaultRates {
    /// Of a 429.
    #[serde(deserialize_with = "share")]
    pub rate_limited: f64,
    /// Of a 500, 502, 503 or 504.
    #[serde(deserialize_with = "share")]
    pub server_error: f64,
    /// Of a body cut short, half of them chunked.
    #[serde(deserialize_with = "share")]
    pub cut: f64,
    /// Of a body that stalls.
    #[serde(deserialize_with = "share")]
    pub stall: f64,
    /// Of a reset connection.
    #[serde(deserialize_with = "share")]
    pub reset: f64,
    /// Of a hung request.
    #[serde(deserialize_with = "share")]
    pub hang: f64,
    /// Of a sign-in page with status 200.
    #[serde(deserialize_with = "share")]
    pub sign_in: f64,
    /// Of a text that is not JSON.
    #[serde(deserialize_with = "share")]
    pub not_json: f64,
    /// Of JSON of another shape.
    #[serde(deserialize_with = "share")]
    pub wrong_json: f64,
    /// Of a slow response.
    #[serde(deserialize_with = "share")]
    pub slow: f64,
    /// How slow that is.
    #[serde(deserialize_with = "duration")]
    pub slow_by: Duration,
    /// The advice of a chance 429; by default every form in turn but [`RetryHeader::Huge`].
    pub retry_header: Option<RetryHeader>,
    /// The wait that 429 and 503 advise, scripted ones too. Short, so that a test is.
    #[serde(deserialize_with = "duration")]
    pub retry_after: Duration,
}

impl Default for FaultRates {
    fn default() -> Self {
        Self {
            rate_limited: 0.0,
            server_error: 0.0,
            cut: 0.0,
            stall: 0.0,
            reset: 0.0,
            hang: 0.0,
            sign_in: 0.0,
            not_json: 0.0,
            wrong_json: 0.0,
            slow: 0.0,
            slow_by: Duration::from_millis(300),
            retry_header: None,
            retry_after: Duration::from_secs(1),
        }
    }
}

/// The forms that chance goes through: all that a client may obey without a long wait.
const RETRY_HEADERS: [RetryHeader; 7] = [
    RetryHeader::Seconds,
    RetryHeader::Date,
    RetryHeader::ResetWithSeconds,
    RetryHeader::ResetWithoutSeconds,
    RetryHeader::Absent,
    RetryHeader::Garbage,
    RetryHeader::Negative,
];

/// Chooses the fault of each request: from the script first, then by chance.
#[derive(Debug)]
pub(crate) struct FaultInjector {
    rng: Rng,
    limited: usize,
    pub(crate) rates: FaultRates,
    pub(crate) script: VecDeque<Fault>,
    pub(crate) token_script: VecDeque<Fault>,
}

impl FaultInjector {
    pub(crate) fn new(seed: u64, rates: FaultRates) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            limited: 0,
            rates,
            script: VecDeque::new(),
            token_script: VecDeque::new(),
        }
    }

    /// The fault of the next request to the list of records.
    pub(crate) fn next_audit(&mut self) -> Fault {
        self.script.pop_front().unwrap_or_else(|| self.by_chance())
    }

    /// The fault of the next request to the token endpoint, which only a script injects.
    pub(crate) fn next_token(&mut self) -> Fault {
        self.token_script.pop_front().unwrap_or(Fault::Pass)
    }

    fn by_chance(&mut self) -> Fault {
        // Two draws whatever comes of them, so that a rate does not shift the sequence of the others.
        let mut at = self.rng.f64();
        let kind = self.rng.usize(..4);
        let mut hits = |rate: f64| {
            let is_hit = (0.0..rate).contains(&at);
            at -= rate;
            is_hit
        };
        let rates = &self.rates;
        if hits(rates.rate_limited) {
            let turn = RETRY_HEADERS[self.limited % RETRY_HEADERS.len()];
            self.limited += 1;
            Fault::RateLimited(self.rates.retry_header.unwrap_or(turn))
        } else if hits(rates.server_error) {
            Fault::Status([500, 502, 503, 504][kind])
        } else if hits(rates.cut) {
            if kind.is_multiple_of(2) {
                Fault::CutBody
            } else {
                Fault::CutChunked
            }
        } else if hits(rates.stall) {
            Fault::StallBody
        } else if hits(rates.reset) {
            Fault::Reset
        } else if hits(rates.hang) {
            Fault::Hang
        } else if hits(rates.sign_in) {
            Fault::SignInPage
        } else if hits(rates.not_json) {
            Fault::NotJson
        } else if hits(rates.wrong_json) {
            Fault::WrongJson
        } else if hits(rates.slow) {
            Fault::Slow(rates.slow_by)
        } else {
            Fault::Pass
        }
    }
}
