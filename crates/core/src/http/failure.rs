//! Maps a response of the API without success to an error.

use http::StatusCode;

use crate::error::{Error, ErrorKind};
use crate::http::transport::Response;

/// The error that a response without success means; `None` for a success.
///
/// `gateway` tells the API's gateway from the site's own host, where a 401 means something else.
/// The texts looked for were seen in responses of the live service; what holds none of them falls
/// back to what the status alone says.
pub(crate) fn of(response: &Response, gateway: bool) -> Option<Error> {
    let status = response.status;
    if status.is_success() {
        return None;
    }
    let says = |text: &str| contains(&response.body, text);
    let kind = match status.as_u16() {
        401 if is_scope_failure(response) => ErrorKind::MissingScope,
        401 if gateway => ErrorKind::Unauthorized,
        401 => ErrorKind::WrongHost,
        403 if says("free edition") || says("free plan") => ErrorKind::FreePlan,
        403 if is_scope_failure(response) => ErrorKind::MissingScope,
        403 => ErrorKind::NotPermitted,
        404 => ErrorKind::WrongSite,
        429 => ErrorKind::RateLimited,
        300..=399 => ErrorKind::NotJson,
        500.. => ErrorKind::Server,
        _ => ErrorKind::Rejected,
    };
    Some(Error::new(kind, format!("answered {}", name(status))).with_body(&response.body))
}

fn is_scope_failure(response: &Response) -> bool {
    let category = response.headers.get("x-failure-category");
    category.is_some_and(|category| contains(category.as_bytes(), "scope"))
        || contains(&response.body, "scope does not match")
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len())
        .any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

fn name(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}
