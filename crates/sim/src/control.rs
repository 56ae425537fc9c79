//! The paths under `/_sim`: what a person or another process does by hand to the site.

use std::time::Duration;

use jiff::SignedDuration;

use crate::arrival::{NewRecords, When};
use crate::error_response;
use crate::query::pairs;
use crate::response::Answer;
use crate::state::Site;

/// `GET /_sim/truth?from=&to=`.
pub(crate) fn tell_truth(site: &Site, query: Option<&str>) -> Answer {
    let pairs = pairs(query);
    let bound = |name: &str, default: i64| {
        pairs
            .iter()
            .find(|(key, _)| key == name)
            .map_or(Ok(default), |(_, value)| value.parse())
    };
    match (bound("from", i64::MIN), bound("to", i64::MAX)) {
        (Ok(from), Ok(to)) => Answer::stream("application/x-ndjson", site.truth(from, to).ndjson()),
        _ => error_response::bad_request("from and to are epoch milliseconds"),
    }
}

/// `POST /_sim/records?count=5&late=10m&twins=true`, or `at=` with epoch milliseconds.
pub(crate) fn insert_by_hand(site: &Site, query: Option<&str>) -> Answer {
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
    let lines: String = site
        .insert(&new)
        .into_iter()
        .map(|line| line + "\n")
        .collect();
    Answer::new(200, "application/x-ndjson", lines)
}
