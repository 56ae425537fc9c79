//! Error responses: those of the service when it refuses or fails, and those of injected faults.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::fault::{Fault, RetryHeader};
use crate::response::Response;

/// The response that replaces the correct one, if the fault is of that kind.
pub(crate) fn of_fault(fault: Fault, retry_after: Duration, now: i64) -> Option<Response> {
    Some(match fault {
        Fault::Status(status) => failure(status),
        Fault::RateLimited(header) => rate_limited(429, header, retry_after, now),
        Fault::Unavailable(header) => rate_limited(503, header, retry_after, now),
        Fault::SignInPage => Response::html(200, SIGN_IN),
        Fault::NotJson => Response::new(
            200,
            "application/json",
            "upstream connect error or disconnect/reset before headers",
        ),
        Fault::WrongJson => Response::json(200, &json!({"records": {"items": []}, "total": 0})),
        Fault::Unauthorized => unauthorized(),
        Fault::ScopeMismatch => scope_mismatch(),
        Fault::NotPermitted => not_permitted(),
        Fault::FreePlan => free_plan(),
        Fault::NotFound => not_found(),
        Fault::Pass
        | Fault::CutBody
        | Fault::CutChunked
        | Fault::StallBody
        | Fault::Reset
        | Fault::Hang
        | Fault::Slow(_) => return None,
    })
}

const SIGN_IN: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><title>Log in to continue</title></head>\
    <body><form action=\"/login\" method=\"post\"><input name=\"username\"></form></body></html>\n";

const UNAUTHORIZED: &str = "<html>\n<head><title>Unauthorized (401)</title></head>\n\
    <body><h1>Unauthorized (401)</h1><p>Basic Authentication Failure</p></body>\n</html>\n";

fn failure(status: u16) -> Response {
    match status {
        502 | 504 => Response::html(
            status,
            "<html><body><h1>The gateway did not get an answer</h1></body></html>\n",
        ),
        _ => Response::json(
            status,
            &json!({"statusCode": status, "message": "Something went wrong on our side"}),
        ),
    }
}

fn rate_limited(status: u16, header: RetryHeader, after: Duration, now: i64) -> Response {
    let response = Response::json(
        status,
        &json!({"code": status, "message": "Rate limit exceeded"}),
    )
    .with("X-RateLimit-Limit", "100")
    .with("X-RateLimit-Remaining", "0")
    .with("X-RateLimit-NearLimit", "true")
    .with("RateLimit-Reason", "confluence-burst-based");
    let then = Timestamp::from_millisecond(now)
        .unwrap_or_default()
        .saturating_add(SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX))
        .unwrap_or(Timestamp::MAX);
    // Whole seconds, rounded up: the advised wait is a minimum.
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    match header {
        RetryHeader::Seconds => response.with("Retry-After", seconds.to_string()),
        RetryHeader::Date => response.with("Retry-After", http_date(then)),
        RetryHeader::ResetWithSeconds => response.with(
            "X-RateLimit-Reset",
            then.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        ),
        RetryHeader::ResetWithoutSeconds => response.with(
            "X-RateLimit-Reset",
            then.strftime("%Y-%m-%dT%H:%MZ").to_string(),
        ),
        RetryHeader::Absent => response,
        RetryHeader::Garbage => response.with("Retry-After", "soon"),
        RetryHeader::Negative => response.with("Retry-After", "-5"),
        RetryHeader::Huge => response.with("Retry-After", "99999999999999999999"),
    }
}

/// A time in the form of a `Date` header.
pub(crate) fn http_date(time: Timestamp) -> String {
    // Fails for years before 0 and after 9999 only, at which no site answers.
    DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&time)
        .unwrap_or_default()
}

pub(crate) fn unauthorized() -> Response {
    Response::json(401, &json!({"code": 401, "message": "Unauthorized"}))
}

pub(crate) fn unauthorized_page() -> Response {
    Response::html(401, UNAUTHORIZED).with("WWW-Authenticate", "Basic realm=\"protected-area\"")
}

pub(crate) fn scope_mismatch() -> Response {
    Response::json(
        401,
        &json!({"code": 401, "message": "Unauthorized; scope does not match"}),
    )
    .with("X-Failure-Category", "FAILURE_CLIENT_SCOPE_CHECK")
}

pub(crate) fn not_permitted() -> Response {
    Response::json(
        403,
        &json!({"message": "Current user not permitted to use Confluence", "statusCode": 403}),
    )
}

pub(crate) fn free_plan() -> Response {
    let message = "Cannot make this request because you are on Free edition. Please upgrade to standard or premium.";
    Response::json(403, &json!({"message": message, "statusCode": 403}))
}

pub(crate) fn not_found() -> Response {
    Response::json(
        404,
        &json!({"code": 404, "message": "No such site or path"}),
    )
}

pub(crate) fn bad_request(message: &str) -> Response {
    Response::json(400, &json!({"statusCode": 400, "message": message}))
}

pub(crate) fn wrong_method() -> Response {
    Response::json(
        405,
        &json!({"statusCode": 405, "message": "Method Not Allowed"}),
    )
}
