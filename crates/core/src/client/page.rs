//! One page of the audit log.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::client::query::Pairs;
use crate::creation_date;
use crate::error::Error;
use crate::json::{decode, scan};
use crate::record::RawRecord;
use crate::time::Timestamp;

/// One page of records, as the service sent it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page {
    /// The records in the order of the answer: newest first in every sample known, but that is
    /// documented nowhere.
    pub records: Vec<RawRecord>,
    /// The offset that the service says this page begins at.
    pub start: Option<u64>,
    /// The limit that the service says it used: smaller than asked when it caps it.
    pub limit: Option<u64>,
    /// `size`: the records of the page by some sources, of the whole by others. Decide nothing
    /// by it.
    pub size: Option<u64>,
    /// The link to the next page as it stands in the answer. It is absent on the last page.
    pub next: Option<String>,
    /// The server's clock when it answered (the header `Date`, whole seconds).
    pub server_time: Option<Timestamp>,
}

impl Page {
    /// Reads an answer's body. Records share the body's memory.
    ///
    /// # Errors
    /// [`NotJson`](crate::ErrorKind::NotJson), [`CutBody`](crate::ErrorKind::CutBody) when the JSON ends early, and
    /// [`UnexpectedJson`](crate::ErrorKind::UnexpectedJson) when there is no list `results` in it: an error object, say,
    /// is never taken for the end of the log.
    pub fn parse(body: &Bytes, server_time: Option<Timestamp>) -> Result<Self, Error> {
        if let Some((records, answer)) = split(body) {
            return Ok(answer.into_page(records, server_time));
        }
        // One byte must not cost the records of a page. What is no page either way is told of as it
        // came.
        if let Err(error) = std::str::from_utf8(body)
            && let text = String::from_utf8_lossy(body).into_owned()
            && let Ok(page) = Self::parse(&Bytes::from(text), server_time)
        {
            let marked = page.records.iter();
            let marked = marked.filter(|record| record.as_str().contains('\u{fffd}'));
            let first = marked.clone().find_map(RawRecord::time);
            tracing::warn!(
                records = marked.count(),
                first = first.map(tracing::field::display),
                "an answer is not UTF-8 from byte {} on: what is not is replaced by U+FFFD",
                error.valid_up_to()
            );
            return Ok(page);
        }
        let answer: Body<&RawValue> = decode::object(body)?;
        let records = answer.results.iter();
        let records = records.map(|text| RawRecord::within(body, text.get()));
        let records = records.collect();
        Ok(answer.into_page(records, server_time))
    }

    /// What to ask for the page after this one, which was the answer to `asked`; `None` when this
    /// was the last.
    ///
    /// Of a link only the query counts: path, host and scheme stay ours. Without a link there may
    /// still be a next page, namely when this one is as full as the service lets a page be, or
    /// when the service does not say how full that is.
    pub(crate) fn following(&self, asked: &Pairs) -> Option<Pairs> {
        if let Some(query) = self.next.as_deref().and_then(Pairs::of_link) {
            return Some(query);
        }
        let count = self.records.len() as u64;
        let full = self.limit.is_none_or(|limit| count >= limit);
        let start = asked.number("start").unwrap_or(0);
        (count > 0 && full).then(|| asked.clone().with("start", start.saturating_add(count)))
    }

    /// Whether the service says that nothing follows this page: no link, and fewer records than
    /// the limit that it says it used.
    pub fn is_last(&self) -> bool {
        self.next.is_none()
            && self
                .limit
                .is_some_and(|limit| (self.records.len() as u64) < limit)
    }
}

/// The records of an answer, and the answer without them; `None` when it does not look as answers
/// do, and has to be read slowly.
fn split(body: &Bytes) -> Option<(Vec<RawRecord>, Body<IgnoredAny>)> {
    let list = scan::list(body, b"\"results\"", creation_date::KEY)?;
    let records = list.elements.iter();
    let records = records.map(|found| RawRecord::found(body, found)).collect();
    let rest = [&body[..list.range.start], b"[]", &body[list.range.end..]].concat();
    Some((records, decode::object(&rest).ok()?))
}

#[derive(Deserialize)]
struct Body<T> {
    results: Vec<T>,
    start: Option<Value>,
    limit: Option<Value>,
    size: Option<Value>,
    #[serde(rename = "_links")]
    links: Option<Value>,
}

impl<T> Body<T> {
    fn into_page(self, records: Vec<RawRecord>, server_time: Option<Timestamp>) -> Page {
        let whole = |value: Option<Value>| value.as_ref().and_then(decode::whole_number);
        let next = self.links.as_ref().and_then(|links| links.get("next"));
        Page {
            records,
            start: whole(self.start),
            limit: whole(self.limit),
            size: whole(self.size),
            next: next.and_then(link),
            server_time,
        }
    }
}

/// A link is a string, or by the 2023 document an object that holds one.
fn link(value: &Value) -> Option<String> {
    let text = value.as_str().or_else(|| value.get("href")?.as_str())?;
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn page(body: &str) -> Result<Page, Error> {
        Page::parse(&Bytes::copy_from_slice(body.as_bytes()), None)
    }

    fn following(body: &str, asked: &str) -> Option<String> {
        page(body)
            .unwrap()
            .following(&Pairs::of_link(asked).unwrap())?
            .encode()
    }

    #[test]
    fn an_error_object_is_never_an_empty_page() {
        for body in [
            r#"{"message":"no"}"#,
            r#"{"results":null}"#,
            r#"{"results":{}}"#,
            "[]",
            "[[1,2],0,25,2,{}]",
            "null",
        ] {
            assert_eq!(
                page(body).unwrap_err().kind(),
                ErrorKind::UnexpectedJson,
                "{body}"
            );
        }
        assert_eq!(page("<html>").unwrap_err().kind(), ErrorKind::NotJson);
        assert_eq!(page("").unwrap_err().kind(), ErrorKind::NotJson);
        assert_eq!(
            page(r#"{"results":[{"a":1},{"#).unwrap_err().kind(),
            ErrorKind::CutBody
        );
    }

    #[test]
    fn only_the_query_of_a_link_counts_and_odd_numbers_do_no_harm() {
        let next = |link: &str| {
            format!(r#"{{"results":[],"size":"x","limit":-1,"_links":{{"next":"{link}"}}}}"#)
        };
        for link in [
            "/rest/api/audit?start=2&limit=2",
            "/wiki/rest/api/audit?start=2&limit=2",
            "https://elsewhere.invalid/x?start=2&limit=2#f",
        ] {
            assert_eq!(
                following(&next(link), "?").as_deref(),
                Some("start=2&limit=2"),
                "{link}"
            );
        }
    }

    #[test]
    fn without_a_link_a_full_page_is_followed_and_a_short_one_ends() {
        let full = r#"{"results":[1,2],"limit":2}"#;
        assert_eq!(
            following(full, "?limit=9&start=4").as_deref(),
            Some("limit=9&start=6")
        );
        assert_eq!(following(r#"{"results":[1],"limit":2}"#, "?start=4"), None);
        // It does not say how full a page can be: ask on until nothing comes.
        assert_eq!(
            following(r#"{"results":[1]}"#, "?").as_deref(),
            Some("start=1")
        );
        assert_eq!(following(r#"{"results":[]}"#, "?"), None);
    }
}
