//! Control endpoints under `/_sim`, for a person or another process: the ground truth, and new records.

use std::time::Duration;

use jiff::SignedDuration;

use crate::arrival::{NewRecords, When};
use crate::error_response;
use crate::query::pairs;
use crate::response::Response;
use crate::state::SimState;

/// `GET /_sim/truth?from=&to=`.
pub(crate) fn truth(state: &SimState, query: Option<&str>) -> Response {
    let pairs = pairs(query);
    let bound = |name: &str, default: i64| {
        pairs
            .iter()
            .find(|(key, _)| key == name)
            .map_or(Ok(default), |(_, value)| value.parse())
    };
    match (bound("from", i64::MIN), bound("to", i64::MAX)) {
        (Ok(from), Ok(to)) => {
            Response::stream("application/x-ndjson", state.truth(from, to).ndjson())
        }
        _ => error_response::bad_request("from and to are epoch milliseconds"),
    }
}

/// `POST /_sim/records?count=5&late=10m&twins=true`, or `at=` with epoch milliseconds.
pub(crate) fn insert_records(state: &SimState, query: Option<&str>) -> Response {
    let mut new = NewRecords::default();
    for (key, value) in pairs(query) {
        let known = match key.as_str() {
            "count" => value.parse().map(|count| new.count = count).is_ok(),
            "twins" => value.parse().map(|twins| new.twins = twins).is_ok(),
            "at" => value.parse().map(|time| new.when = When::At(time)).is_ok(),
            "late" => match value.parse::<SignedDuration>().map(Duration::try_from) {
                Ok(Ok(by)) => {
                    new.when = When::Late(by);
                    true
                }
                _ => false,
            },
            _ => false,
        };
        if !known {
            return error_response::bad_request(
                "known are count=5, late=10m, at=1774540800000 and twins=true",
            );
        }
    }
    let lines: String = state
        .insert(&new)
        .into_iter()
        .map(|line| line + "\n")
        .collect();
    Response::new(200, "application/x-ndjson", lines)
}
