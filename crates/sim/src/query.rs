//! Query parameters of the audit endpoints: which window, which part of it.

use url::form_urlencoded;

use crate::error_response::bad_request;
use crate::response::Response;

/// The documented default of `limit`.
const LIMIT: usize = 1_000;

/// The pairs of a query, decoded.
pub(crate) fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .into_owned()
        .collect()
}

/// The part of the log that a request asks for.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) pairs: Vec<(String, String)>,
    /// From this millisecond on.
    pub(crate) from: Option<i64>,
    /// Up to this millisecond.
    pub(crate) to: Option<i64>,
    pub(crate) search: Option<String>,
    pub(crate) start: usize,
    pub(crate) limit: usize,
}

impl Query {
    /// For `audit` and `audit/export`.
    pub(crate) fn between(query: Option<&str>) -> Result<Self, Response> {
        let mut query = Self::common(query)?;
        query.from = query.number("startDate")?;
        query.to = query.number("endDate")?;
        Ok(query)
    }

    /// For `audit/since`: so many units back from `now`.
    pub(crate) fn since(query: Option<&str>, now: i64) -> Result<Self, Response> {
        let mut query = Self::common(query)?;
        let number = query.number("number")?.unwrap_or(3);
        let unit = nanoseconds(query.get("units").unwrap_or("MONTHS"))
            .ok_or_else(|| bad_request("Unknown units"))?;
        let back = i64::try_from(i128::from(number) * unit / NANOS).unwrap_or(i64::MAX);
        query.from = Some(now.saturating_sub(back));
        Ok(query)
    }

    fn common(query: Option<&str>) -> Result<Self, Response> {
        let pairs = pairs(query);
        let mut query = Self {
            pairs,
            from: None,
            to: None,
            search: None,
            start: 0,
            limit: LIMIT,
        };
        query.search = query
            .get("searchString")
            .filter(|text| !text.is_empty())
            .map(str::to_owned);
        query.start = query.number("start")?.unwrap_or(0);
        query.limit = query.number("limit")?.unwrap_or(LIMIT);
        if query.limit == 0 {
            return Err(bad_request("limit must be positive"));
        }
        Ok(query)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Response> {
        self.get(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| bad_request(&format!("{name} is not a number")))
            })
            .transpose()
    }

    /// The same query for another part of the window.
    pub(crate) fn encode(&self, start: usize, limit: usize) -> String {
        let kept = self
            .pairs
            .iter()
            .filter(|(key, _)| key != "start" && key != "limit");
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(kept)
            .append_pair("start", &start.to_string())
            .append_pair("limit", &limit.to_string())
            .finish()
    }
}

/// Nanoseconds in a millisecond.
const NANOS: i128 = 1_000_000;

/// The length of a unit in nanoseconds, by its name in the API.
fn nanoseconds(unit: &str) -> Option<i128> {
    let second = 1_000 * NANOS;
    let day = 86_400 * second;
    Some(match unit {
        "NANOS" => 1,
        "MICROS" => 1_000,
        "MILLIS" => NANOS,
        "SECONDS" => second,
        "MINUTES" => 60 * second,
        "HOURS" => 3_600 * second,
        "HALF_DAYS" => day / 2,
        "DAYS" => day,
        "WEEKS" => 7 * day,
        // The mean month and year, as the units of java.time have it.
        "MONTHS" => 31_556_952 * second / 12,
        "YEARS" => 31_556_952 * second,
        "DECADES" => 10 * 31_556_952 * second,
        "CENTURIES" => 100 * 31_556_952 * second,
        _ => return None,
    })
}
