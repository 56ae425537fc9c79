//! One page of a selection: order, empty stretches, the link to the next page, and the shape of its JSON.

use std::fmt::Write;
use std::ops::Range;

use bytes::Bytes;
use fastrand::Rng;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::generator::Generator;
use crate::log::{Entry, Log};
use crate::page_cache::PageCache;
use crate::query::Query;
use crate::quirks::{KeyOrder, NextForm, Order, Quirks, SizeForm};
use crate::random::mix;
use crate::record::Record;
use crate::selection::Selection;

/// The stretch within which [`Order::Shuffled`] shuffles.
const SHUFFLED: usize = 4_096;
/// What a page begins with.
const NO_RECORDS: &str = r#"{"results":["#;
/// The length of a hole where no cap on `limit` gives one.
const HOLE: usize = 1_000;

#[derive(Serialize)]
struct Page {
    results: Vec<Record>,
    start: usize,
    limit: usize,
    size: usize,
    #[serde(rename = "_links")]
    links: Links,
}

#[derive(Serialize)]
struct Links {
    base: String,
    context: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(rename = "self")]
    this: String,
}

/// What a page is made from.
pub(crate) struct Pager<'a> {
    pub(crate) selection: &'a Selection,
    pub(crate) generator: Generator,
    pub(crate) quirks: Quirks,
    pub(crate) seed: u64,
    /// The site's own address.
    pub(crate) url: &'a str,
    /// `/rest/api/audit` or `/rest/api/audit/since`.
    pub(crate) path: &'static str,
    /// Differs between requests.
    pub(crate) salt: u64,
    /// The cache, if the site has one, and whether the page is to be compressed.
    pub(crate) cache: Option<(&'a PageCache, bool)>,
}

/// A page as it goes out.
pub(crate) struct RenderedPage {
    pub(crate) content: Bytes,
    pub(crate) is_gzip: bool,
    /// How many records stand in it.
    pub(crate) records: usize,
}

impl Pager<'_> {
    /// The page that was asked for.
    pub(crate) fn page(&self, query: &Query) -> RenderedPage {
        let quirks = &self.quirks;
        let total = self.selection.len();
        let limit = quirks
            .max_limit
            .map_or(query.limit, |most| query.limit.min(most.max(1)));
        let end = query.start.saturating_add(limit);
        let holes = Holes::new(quirks);
        let (first, behind) = (
            holes.visible(query.start).min(total),
            holes.visible(end).min(total),
        );
        let count = behind - first;
        let cache = self
            .cache
            .and_then(|cache| Some((cache, self.ranks(first, behind)?)));
        let entries = if cache.is_some() {
            Vec::new()
        } else {
            self.ordered(first, behind)
        };
        let goes_on = end < holes.end(total);
        let next = goes_on.then(|| {
            query.encode(
                if quirks.next_repeats {
                    query.start
                } else {
                    end
                },
                limit,
            )
        });
        let page = Page {
            results: entries
                .into_iter()
                .map(|entry| self.generator.record(entry))
                .collect(),
            start: query.start,
            limit,
            size: match quirks.size {
                SizeForm::PageCount => count,
                SizeForm::Total => total,
                SizeForm::Lie if self.salt.is_multiple_of(2) && count > 0 => 0,
                SizeForm::Lie => total + count + 1,
            },
            links: Links {
                base: format!("{}/wiki", self.url),
                context: "/wiki",
                next: next.and_then(|query| self.link(&query)),
                this: format!(
                    "{}/wiki{}?{}",
                    self.url,
                    self.path,
                    query.encode(query.start, limit)
                ),
            },
        };
        let text = self.write(&page);
        let (content, is_gzip) = match (cache, text.split_at_checked(NO_RECORDS.len())) {
            (Some(((cache, is_gzip), (log, ranks))), Some(around)) => {
                let content = cache.page((log, self.generator), ranks, around, is_gzip);
                (content, is_gzip)
            }
            _ => (text.into(), false),
        };
        RenderedPage {
            content,
            is_gzip,
            records: count,
        }
    }

    /// The ranks in the log of records `first..behind` of the selection, if the cache can hold them: in the plainest
    /// form, from new to old, of a log that is as it was made.
    fn ranks(&self, first: usize, behind: usize) -> Option<(&Log, Range<usize>)> {
        let Selection::Window { log, to, .. } = self.selection else {
            return None;
        };
        let quirks = Quirks {
            gzip: false,
            deprecation_warning: false,
            omit_date: false,
            ..self.quirks
        };
        (quirks == Quirks::default() && log.is_as_made()).then_some((log, to - behind..to - first))
    }

    fn link(&self, query: &str) -> Option<String> {
        let path = self.path;
        match self.quirks.next {
            NextForm::Relative => Some(format!("{path}?{query}")),
            NextForm::Wiki => Some(format!("/wiki{path}?{query}")),
            NextForm::Absolute => Some(format!("{}/wiki{path}?{query}", self.url)),
            NextForm::AbsoluteElsewhere => {
                Some(format!("https://elsewhere.invalid/wiki{path}?{query}"))
            }
            NextForm::None => None,
        }
    }

    /// The entries `from..to` of the selection in the site's order.
    fn ordered(&self, from: usize, to: usize) -> Vec<Entry> {
        let total = self.selection.len();
        match self.quirks.order {
            Order::OldestFirst => self.selection.slice(from, to),
            Order::NewestFirst => {
                let mut entries = self.selection.slice(total - to, total - from);
                entries.reverse();
                entries
            }
            Order::Shuffled => {
                let mut entries = Vec::with_capacity(to - from);
                let mut at = from;
                while at < to {
                    let first = at - at % SHUFFLED;
                    let mut stretch = self.selection.slice(first, first + SHUFFLED);
                    Rng::with_seed(mix(self.seed, first as u64)).shuffle(&mut stretch);
                    let stop = to.min(first + SHUFFLED);
                    entries.extend_from_slice(&stretch[at - first..stop - first]);
                    at = stop;
                }
                entries
            }
        }
    }

    /// The page as text. Most quirks go through a tree of values; a page without them is written at once.
    fn write(&self, page: &Page) -> String {
        let quirks = &self.quirks;
        let plain =
            !quirks.string_dates && !quirks.volatile_names && quirks.key_order == KeyOrder::AsIs;
        // Nothing in a page can fail to be written: its keys are strings and its writer is memory.
        let text = if plain && !quirks.pretty {
            serde_json::to_string(page)
        } else {
            serde_json::to_value(page).and_then(|value| {
                let value = self.reshape(value, &mut Rng::with_seed(self.salt));
                if quirks.pretty {
                    serde_json::to_string_pretty(&value)
                } else {
                    serde_json::to_string(&value)
                }
            })
        };
        let text = text.unwrap_or_default();
        if quirks.ascii_escapes {
            escape(&text)
        } else {
            text
        }
    }

    fn reshape(&self, value: Value, rng: &mut Rng) -> Value {
        match value {
            Value::Array(list) => list
                .into_iter()
                .map(|value| self.reshape(value, rng))
                .collect(),
            Value::Object(map) => {
                let mut pairs: Vec<_> = map.into_iter().collect();
                match self.quirks.key_order {
                    KeyOrder::AsIs => {}
                    KeyOrder::Reversed => pairs.reverse(),
                    KeyOrder::Shuffled => rng.shuffle(&mut pairs),
                }
                let reshaped = pairs.into_iter().map(|(key, value)| {
                    let value = self.vary(&key, value);
                    let value = self.reshape(value, rng);
                    (key, value)
                });
                Value::Object(reshaped.collect::<Map<_, _>>())
            }
            value => value,
        }
    }

    /// The same value in another form.
    fn vary(&self, key: &str, value: Value) -> Value {
        let turn = self.salt % 3;
        match key {
            "creationDate" if self.quirks.string_dates => value.to_string().into(),
            _ if !self.quirks.volatile_names => value,
            "displayName" if turn > 0 => {
                format!("{} ({turn})", value.as_str().unwrap_or_default()).into()
            }
            "publicName" => if turn == 0 { "Unknown user" } else { "Someone" }.into(),
            "accountType" => if turn == 0 { "" } else { "atlassian" }.into(),
            "operations" => match turn {
                0 => Value::Null,
                1 => Value::Array(Vec::new()),
                _ => Value::Object(Map::new()),
            },
            _ => value,
        }
    }
}

/// `\u` escapes for all that is not ASCII, and `\/` for a slash. In JSON both can stand in strings only.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for char in text.chars() {
        match char {
            '/' => out.push_str("\\/"),
            char if char.is_ascii() => out.push(char),
            char => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    // Writing to a string does not fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out
}

/// Stretches of offsets in which nothing stands, so that a page can be empty and yet go on.
///
/// They lie at fixed offsets, whatever `limit` is asked, so that every reader sees the same offsets.
struct Holes {
    unit: usize,
    every: Option<usize>,
    first: bool,
}

impl Holes {
    fn new(quirks: &Quirks) -> Self {
        let every = quirks.empty_every.map(|every| every.max(2));
        Self {
            unit: quirks.max_limit.unwrap_or(HOLE).max(1),
            every,
            first: quirks.empty_first,
        }
    }

    /// How many records stand at offsets below `offset`, in an endless log.
    fn visible(&self, offset: usize) -> usize {
        let stretch = offset / self.unit;
        let before =
            self.every.map_or(0, |every| stretch / every) + usize::from(self.first && stretch > 0);
        let is_hole = self.first && stretch == 0
            || self.every.is_some_and(|every| stretch % every == every - 1);
        (stretch - before) * self.unit + if is_hole { 0 } else { offset % self.unit }
    }

    /// The offset behind the last of `total` records.
    fn end(&self, total: usize) -> usize {
        if total == 0 {
            return 0;
        }
        // With a hole every two stretches and one at the beginning, offsets are at most this much larger.
        let (mut low, mut high) = (total, 2 * total + 3 * self.unit);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.visible(middle) >= total {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_hide_nothing() {
        for (every, first) in [
            (None, false),
            (Some(2), false),
            (Some(3), true),
            (None, true),
            (Some(2), true),
        ] {
            let holes = Holes {
                unit: 10,
                every,
                first,
            };
            for total in [1, 9, 10, 11, 95, 200] {
                let end = holes.end(total);
                assert_eq!(holes.visible(end), total);
                assert_eq!(
                    holes.visible(end - 1),
                    total - 1,
                    "{every:?} {first} {total}"
                );
                for limit in [3, 10, 25] {
                    let pages = (0..end).step_by(limit);
                    let seen: usize = pages
                        .map(|at| {
                            holes.visible(at + limit).min(total) - holes.visible(at).min(total)
                        })
                        .sum();
                    assert_eq!(seen, total);
                }
            }
        }
    }

    #[test]
    fn escapes_are_ascii_and_mean_the_same() {
        let value = serde_json::json!({"é/": "\u{1f469} \" \\ \u{2028}"});
        let escaped = escape(&value.to_string());
        assert!(escaped.is_ascii());
        assert!(escaped.contains("\\u00e9\\/"));
        assert_eq!(serde_json::from_str::<Value>(&escaped).unwrap(), value);
    }
}
