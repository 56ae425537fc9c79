//! One window of a site's log as a whole: walked if the log is ordered, by offset if it is not,
//! and given up early where it would hold more than fits.

use std::sync::Once;

use confluence_audit_core::{Error, Timestamp};
use tokio::task::{JoinError, JoinHandle};

use crate::walk::{Log, Placed, Step, Walk, by_offset};
use crate::window::Window;

/// A window that was tried.
pub(crate) enum Slice<T> {
    /// All of it.
    Whole(Whole<T>),
    /// It holds more than it may.
    TooMany {
        /// How many records it holds, about.
        estimate: u64,
        /// Its end, or of an open one where its newest record is.
        end: Timestamp,
    },
}

/// A window that was read.
pub(crate) struct Whole<T> {
    /// What was read: it may end earlier than what was asked for.
    pub(crate) window: Window,
    /// Oldest first.
    pub(crate) records: Vec<T>,
    /// The service's clock when the reading began.
    pub(crate) server_time: Option<Timestamp>,
}

/// Reads `window`, if it holds no more than about `most` records. `now` is a guess of the present,
/// for the estimate alone. What `make` makes of a page is made while the next one is on its way.
pub(crate) async fn read<T: Send + 'static>(
    log: &Log,
    window: Window,
    most: usize,
    now: Timestamp,
    make: fn(Placed) -> T,
) -> Result<Slice<T>, Error> {
    let most = if window.is_one_millisecond() {
        usize::MAX
    } else {
        most
    };
    let mut walk = Walk::new(log, window);
    let mut pages: Vec<JoinHandle<Vec<T>>> = Vec::new();
    let mut span: Option<(Timestamp, Timestamp)> = None;
    let mut read = 0;
    // A millisecond cannot be cut, so the first that fills a page counts for nothing.
    let mut uncounted = 0;
    loop {
        let more = match walk.step().await? {
            Step::Records(more) => more,
            Step::Dense(more) => {
                if uncounted == 0 {
                    uncounted = more.len();
                }
                more
            }
            Step::End => break,
            // Few milliseconds, which cutting would not make fewer.
            Step::Unclear => {
                return without_order(log, window, walk.server_time(), usize::MAX, now, make).await;
            }
            Step::Unordered => {
                say_unordered();
                return without_order(log, window, walk.server_time(), most, now, make).await;
            }
        };
        if let (Some(newest), Some(oldest)) = (more.first(), more.last()) {
            span = Some((span.map_or(newest.time, |(newest, _)| newest), oldest.time));
        }
        read += more.len();
        pages.push(tokio::spawn(async move { all(more, make) }));
        let (newest, oldest) = span.unwrap_or((now, now));
        let end = window.to.unwrap_or(newest.max(now));
        let counted = read - uncounted;
        let estimate = estimate(counted, window.from, oldest, end);
        if counted > most || (!walk.is_done() && is_hopeless(counted, estimate, most)) {
            return Ok(Slice::TooMany { estimate, end });
        }
    }
    let mut records = Vec::with_capacity(read);
    for page in pages.iter_mut().rev() {
        records.extend(outcome(page).await.into_iter().rev());
    }
    Ok(Slice::Whole(Whole {
        window,
        records,
        server_time: walk.server_time(),
    }))
}

fn all<T>(records: Vec<Placed>, make: fn(Placed) -> T) -> Vec<T> {
    records.into_iter().map(make).collect()
}

/// What a task came to that nobody aborts; its panic goes on here.
pub(crate) async fn outcome<T>(task: &mut JoinHandle<T>) -> T {
    match task.await.map_err(JoinError::try_into_panic) {
        Ok(made) => made,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime is going away, and this task with it.
        Err(Err(_)) => std::future::pending().await,
    }
}

fn say_unordered() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(
            "the service does not give its records from new to old; they are read by offset, \
             which takes more requests"
        );
    });
}

async fn without_order<T>(
    log: &Log,
    window: Window,
    server_time: Option<Timestamp>,
    most: usize,
    now: Timestamp,
    make: fn(Placed) -> T,
) -> Result<Slice<T>, Error> {
    // What arrives at the open end while it is read would keep two readings from agreeing.
    let closed = server_time.filter(|now| window.to.is_none() && *now >= window.from);
    let window = Window {
        to: window.to.or(closed),
        ..window
    };
    let Some(mut records) = by_offset(log, window, most).await? else {
        let end = window.to.unwrap_or(now);
        return Ok(Slice::TooMany {
            estimate: 2 * most as u64,
            end,
        });
    };
    records.reverse();
    Ok(Slice::Whole(Whole {
        window,
        records: all(records, make),
        server_time,
    }))
}

/// Whether it is better to give up now: the more has been read, the better the estimate, and the
/// more would be read in vain. A burst in the first page proves little.
fn is_hopeless(read: usize, estimate: u64, most: usize) -> bool {
    let (read, estimate, most) = (read as f64, estimate as f64, most as f64);
    (estimate / most) * (read / most) > 0.8
}

/// How many records there are from `from` to `end`, if it is everywhere as dense as from `oldest`
/// on, where there are `read`.
fn estimate(read: usize, from: Timestamp, oldest: Timestamp, end: Timestamp) -> u64 {
    let part = end.since(oldest).as_millis().max(1);
    let all = end.since(from).as_millis().max(1);
    u64::try_from(read as u128 * all / part).unwrap_or(u64::MAX)
}
