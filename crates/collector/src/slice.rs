//! One window of a site's log as a whole: walked if the log is ordered, by offset if it is not,
//! and given up early where it would hold more than fits.

use std::sync::Once;

use confluence_audit_core::{Error, Timestamp};

use crate::walk::{Log, Placed, Step, Walk, by_offset};
use crate::window::Window;

/// A window that was tried.
pub(crate) enum Slice<T = Placed> {
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
pub(crate) struct Whole<T = Placed> {
    /// What was read: it may end earlier than what was asked for.
    pub(crate) window: Window,
    /// Oldest first.
    pub(crate) records: Vec<T>,
    /// The service's clock when the reading began.
    pub(crate) server_time: Option<Timestamp>,
}

impl Slice {
    /// The same with something made of each record.
    pub(crate) fn map<T>(self, make: impl FnMut(Placed) -> T) -> Slice<T> {
        match self {
            Self::Whole(whole) => Slice::Whole(Whole {
                window: whole.window,
                records: whole.records.into_iter().map(make).collect(),
                server_time: whole.server_time,
            }),
            Self::TooMany { estimate, end } => Slice::TooMany { estimate, end },
        }
    }
}

/// Reads `window`, if it holds no more than about `most` records. `now` is a guess of the present,
/// for the estimate alone.
pub(crate) async fn read(
    log: &Log,
    window: Window,
    most: usize,
    now: Timestamp,
) -> Result<Slice, Error> {
    let most = if window.is_one_millisecond() {
        usize::MAX
    } else {
        most
    };
    let mut walk = Walk::new(log, window);
    let mut records: Vec<Placed> = Vec::new();
    // A millisecond cannot be cut, so the first that fills a page counts for nothing.
    let mut uncounted = 0;
    loop {
        match walk.step().await? {
            Step::Records(more) => records.extend(more),
            Step::Dense(more) => {
                if uncounted == 0 {
                    uncounted = more.len();
                }
                records.extend(more);
            }
            Step::End => break,
            // Few milliseconds, which cutting would not make fewer.
            Step::Unclear => {
                return without_order(log, window, walk.server_time(), usize::MAX, now).await;
            }
            Step::Unordered => {
                say_unordered();
                return without_order(log, window, walk.server_time(), most, now).await;
            }
        }
        let newest = records.first().map_or(now, |newest| newest.time);
        let oldest = records.last().map_or(now, |oldest| oldest.time);
        let end = window.to.unwrap_or(newest.max(now));
        let read = records.len() - uncounted;
        let estimate = estimate(read, window.from, oldest, end);
        if read > most || (!walk.is_done() && is_hopeless(read, estimate, most)) {
            return Ok(Slice::TooMany { estimate, end });
        }
    }
    records.reverse();
    Ok(Slice::Whole(Whole {
        window,
        records,
        server_time: walk.server_time(),
    }))
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

async fn without_order(
    log: &Log,
    window: Window,
    server_time: Option<Timestamp>,
    most: usize,
    now: Timestamp,
) -> Result<Slice, Error> {
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
        records,
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
