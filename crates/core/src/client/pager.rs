//! Pagination by offset: a stream of pages, by `start`, `limit` and `next`.
//!
//! This is the plain walk for those who embed the crate. Records that arrive while it runs shift
//! the pages, so that a record may be read twice or never; the collector walks by time instead.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};

use crate::client::page::Page;
use crate::client::query::Pairs;
use crate::error::{Error, ErrorKind};
use crate::record::RawRecord;

/// Behind any record that a log can hold.
const FAR: u64 = 1_000_000_000;

/// Where a walk stands: enough to go on with it later, in another process too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub(crate) endpoint: Endpoint,
    pub(crate) asks: Pairs,
    /// A page asked for earlier. It moves up at every power of two, so that a circle of any
    /// length is found, in constant space (Brent).
    mark: Option<Pairs>,
    steps: u64,
}

/// Which of the two paged endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Endpoint {
    Audit,
    Since,
}

impl Position {
    pub(crate) fn new(endpoint: Endpoint, asks: Pairs) -> Self {
        Self {
            endpoint,
            asks,
            mark: None,
            steps: 0,
        }
    }

    /// The position of the page after `page`, which was read at this one; `None` behind the last.
    fn after(&self, page: &Page) -> Option<Self> {
        let asks = page.following(&self.asks)?;
        let steps = self.steps + 1;
        let mark = if asks == self.asks {
            Some(asks.clone())
        } else if Some(&asks) != self.mark.as_ref() && steps.is_power_of_two() {
            Some(self.asks.clone())
        } else {
            self.mark.clone()
        };
        Some(Self {
            endpoint: self.endpoint,
            asks,
            mark,
            steps,
        })
    }

    /// The position behind `page`, which was read at this one and is the last by the service's word.
    fn behind(&self, page: &Page) -> Option<Self> {
        let start = self.asks.number("start").unwrap_or(0);
        let count = page.records.len() as u64;
        (count > 0).then(|| Self {
            asks: self.asks.clone().with("start", start.saturating_add(count)),
            ..self.clone()
        })
    }

    /// Fails where the link that led here leads back to the page that is marked.
    fn leads_on(&self) -> Result<(), Error> {
        if self.mark.as_ref() != Some(&self.asks) {
            return Ok(());
        }
        let steps = self.steps;
        let message = format!(
            "after {steps} pages the link to the next page leads back to one that was read"
        );
        Err(Error::new(ErrorKind::Paging, message))
    }
}

/// A stream of pages. It asks for a page when it is polled for one, and ends after an error.
///
/// ```no_run
/// # async fn example(client: confluence_audit_core::AuditClient) -> Result<(), confluence_audit_core::Error> {
/// use confluence_audit_core::AuditQuery;
/// use futures_util::TryStreamExt;
///
/// let mut pages = client.pages(&AuditQuery::new());
/// while let Some(page) = pages.try_next().await? {
///     for record in &page.records {
///         println!("{}", record.as_str());
///     }
///     // Keep it, and `client.resume(position)` goes on behind this page.
///     let position = pages.position();
/// }
/// # Ok(())
/// # }
/// ```
pub struct Pager {
    fetch: Fetch,
    first: Position,
    position: Option<Position>,
    /// Behind the page that was the last by the service's word.
    behind: Option<Position>,
    state: State,
}

/// Asks for the page at a position.
pub(crate) type Fetch = Box<dyn Fn(Position) -> PageFuture + Send>;

pub(crate) type PageFuture = BoxFuture<'static, Result<Page, Error>>;

enum State {
    Idle,
    Asking(PageFuture),
    Ended,
}

impl Pager {
    pub(crate) fn new(fetch: Fetch, position: Position) -> Self {
        Self {
            fetch,
            first: position.clone(),
            position: Some(position),
            behind: None,
            state: State::Idle,
        }
    }

    /// Where the next page begins; `None` behind the last one. After an error it is the page that
    /// could not be read. Where the link of the page before leads back to one that was read, to go
    /// on from here fails at once, without reading any page twice.
    pub fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// Goes on behind the page that was the last by the service's word, which can be wrong; `false`
    /// where there is no such page, or it was empty.
    pub(crate) fn go_on_behind_last(&mut self) -> bool {
        if self.position.is_none() {
            self.position = self.behind.take();
        }
        self.position.is_some()
    }

    /// After an error: asks again for the same page with half as many records; `false` where it was
    /// one record already.
    pub(crate) fn ask_for_fewer(&mut self) -> bool {
        let Some(position) = &mut self.position else {
            return false;
        };
        match position.asks.number("limit") {
            Some(0 | 1) | None => false,
            Some(limit) => {
                position.asks = position.asks.clone().with("limit", limit / 2);
                self.state = State::Idle;
                true
            }
        }
    }

    /// After an error: goes on behind the record at which the page begins.
    pub(crate) fn skip_record(&mut self) {
        if let Some(position) = &mut self.position {
            let start = position.asks.number("start").unwrap_or(0);
            position.asks = position.asks.clone().with("start", start.saturating_add(1));
            self.state = State::Idle;
        }
    }

    /// How many records the next page is asked for.
    pub(crate) fn limit(&self) -> Option<u64> {
        self.position.as_ref()?.asks.number("limit")
    }

    /// The page far behind all records, as the service's own offsets go.
    pub(crate) async fn far_page(&mut self) -> Result<Page, Error> {
        let asks = self.first.asks.clone().with("start", FAR);
        let position = Position::new(self.first.endpoint, asks);
        (self.fetch)(position).await
    }

    /// The records one by one.
    pub fn records(self) -> impl Stream<Item = Result<RawRecord, Error>> + Send {
        stream::try_unfold(
            (self, VecDeque::new()),
            |(mut pages, mut records)| async move {
                loop {
                    if let Some(record) = records.pop_front() {
                        return Ok(Some((record, (pages, records))));
                    }
                    match stream::StreamExt::next(&mut pages).await {
                        Some(page) => records = page?.records.into(),
                        None => return Ok(None),
                    }
                }
            },
        )
    }
}

impl Stream for Pager {
    type Item = Result<Page, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(position) = &this.position else {
            return Poll::Ready(None);
        };
        if let State::Idle = this.state {
            this.state = State::Asking(match position.leads_on() {
                Ok(()) => (this.fetch)(position.clone()),
                Err(error) => Box::pin(async { Err(error) }),
            });
        }
        let State::Asking(request) = &mut this.state else {
            return Poll::Ready(None);
        };
        let page = ready!(request.as_mut().poll(context));
        match &page {
            Ok(page) => {
                this.behind = position.behind(page);
                this.position = position.after(page);
                this.state = State::Idle;
            }
            Err(_) => this.state = State::Ended,
        }
        Poll::Ready(Some(page))
    }
}

impl fmt::Debug for Pager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pager")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn linking_to(link: &str) -> Page {
        let body = format!(r#"{{"results":[],"_links":{{"next":"{link}"}}}}"#);
        Page::parse(&Bytes::from(body), None).unwrap()
    }

    #[test]
    fn a_circle_of_any_length_ends_and_a_long_line_does_not() {
        for length in [1, 2, 3, 7, 50] {
            let mut position = Position::new(Endpoint::Audit, Pairs::of_link("?start=0").unwrap());
            let end = (1..1000).find(|step| {
                let page = linking_to(&format!("/x?start={}", step % length));
                position = position.after(&page).unwrap();
                let astray = position.leads_on();
                astray.is_err_and(|error| error.kind() == ErrorKind::Paging)
            });
            assert!(end.is_some(), "a circle of {length} was not found");
        }
        let mut position = Position::new(Endpoint::Audit, Pairs::default());
        for step in 1..5000 {
            position = position
                .after(&linking_to(&format!("/x?start={step}")))
                .unwrap();
            position.leads_on().unwrap();
        }
    }

    #[test]
    fn a_link_to_the_marked_page_is_found_at_once_where_the_mark_moves() {
        let mut position = Position::new(Endpoint::Audit, Pairs::of_link("?start=0").unwrap());
        // The mark is set to the first page, and would move on just when it is met again.
        for start in [1, 0] {
            position.leads_on().unwrap();
            position = position
                .after(&linking_to(&format!("?start={start}")))
                .unwrap();
        }
        position.leads_on().unwrap_err();
    }

    #[test]
    fn a_position_survives_being_written_down() {
        let first = Position::new(
            Endpoint::Since,
            Pairs::of_link("?number=3&start=10").unwrap(),
        );
        let second = first
            .after(&linking_to("?start=20&searchString=a%26b"))
            .unwrap();
        let text = serde_json::to_string(&second).unwrap();
        assert_eq!(serde_json::from_str::<Position>(&text).unwrap(), second);
    }
}
