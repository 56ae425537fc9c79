//! Reads one window as a whole: by time if the log is ordered, by offset if it is not. It is given
//! up early where it would hold more than fits.

use std::sync::{Arc, Once};
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};

use crate::error::Error;
use crate::read::offset::{Settled, never_settles, read_until_settled};
use crate::read::source::Source;
use crate::read::time_pager::{TimePage, TimePager};
use crate::read::timed::TimedRecord;
use crate::read::window::Window;
use crate::time::Timestamp;

/// A window that was tried.
pub(super) enum WindowRead<T> {
    /// All of it.
    Complete(Complete<T>),
    /// It holds more than it may.
    TooDense {
        /// How many records it holds, about.
        estimate: u64,
        /// Its end, or of an open one where its newest record is.
        end: Timestamp,
    },
    /// It begins at the present and changes at every reading.
    Unsettled,
}

/// A window that was read.
pub struct Complete<T> {
    /// What was read: it may end earlier than what was asked for.
    pub window: Window,
    /// Oldest first.
    pub records: Vec<T>,
    /// The service's clock when the reading began; `None` as well where no answer held a record.
    pub server_time: Option<Timestamp>,
    /// The service's clock when the reading began, also where no answer held a record.
    pub clock: Option<Timestamp>,
}

/// Reads `window`, if it holds no more than about `most` records. `now` is a guess of the present,
/// for the estimate alone. What `make` makes of a page is made while the next one is on its way.
pub(super) async fn read_window<T: Send + 'static>(
    source: &Arc<dyn Source>,
    window: Window,
    most: usize,
    now: Timestamp,
    make: fn(&dyn Source, TimedRecord) -> T,
) -> Result<WindowRead<T>, Error> {
    let most = if window.is_one_millisecond() {
        usize::MAX
    } else {
        most
    };
    let mut pager = TimePager::new(&**source, window);
    let mut tasks: Vec<JoinHandle<Vec<T>>> = Vec::new();
    let mut span: Option<(Timestamp, Timestamp)> = None;
    let mut read = 0;
    // A millisecond cannot be cut, so the first that fills a page counts for nothing.
    let mut uncounted = 0;
    loop {
        let more = match pager.step().await? {
            TimePage::Records(more) => more,
            TimePage::Dense(more) => {
                if uncounted == 0 {
                    uncounted = more.len();
                }
                more
            }
            TimePage::End => break,
            // Few milliseconds, which cutting would not make fewer.
            TimePage::Unclear => {
                return without_order(source, window, pager.server_time(), usize::MAX, now, make)
                    .await;
            }
            TimePage::Unordered => {
                warn_unordered();
                return without_order(source, window, pager.server_time(), most, now, make).await;
            }
        };
        if let (Some(newest), Some(oldest)) = (more.first(), more.last()) {
            span = Some((span.map_or(newest.time, |(newest, _)| newest), oldest.time));
        }
        read += more.len();
        let key_source = Arc::clone(source);
        tasks.push(tokio::spawn(async move { all(&*key_source, more, make) }));
        let (newest, oldest) = span.unwrap_or((now, now));
        let end = window.to.unwrap_or(newest.max(now));
        let counted = read - uncounted;
        let estimate = estimate(counted, window.from, oldest, end);
        if counted > most || (!pager.is_done() && is_hopeless(counted, estimate, most)) {
            return Ok(WindowRead::TooDense { estimate, end });
        }
    }
    let mut records = Vec::with_capacity(read);
    for task in tasks.iter_mut().rev() {
        records.extend(outcome(task).await.into_iter().rev());
    }
    Ok(WindowRead::Complete(Complete {
        window,
        records,
        server_time: pager.server_time(),
        clock: pager.clock(),
    }))
}

fn all<T>(
    source: &dyn Source,
    records: Vec<TimedRecord>,
    make: fn(&dyn Source, TimedRecord) -> T,
) -> Vec<T> {
    let records = records.into_iter();
    records.map(|record| make(source, record)).collect()
}

/// What a task came to that nobody aborts; its panic goes on here.
pub(super) async fn outcome<T>(task: &mut JoinHandle<T>) -> T {
    match task.await.map_err(JoinError::try_into_panic) {
        Ok(made) => made,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime is going away, and this task with it.
        Err(Err(_)) => std::future::pending().await,
    }
}

fn warn_unordered() {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            "the service does not give its records from new to old; they are read by offset, \
             which takes more requests"
        );
    });
}

/// Records arrive in a log without a known order anywhere, so that two readings up to the present
/// may never agree. What is read then ends so long before the present.
const RETREATS: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_mins(1),
    Duration::from_mins(15),
];

async fn without_order<T>(
    source: &Arc<dyn Source>,
    window: Window,
    server_time: Option<Timestamp>,
    most: usize,
    now: Timestamp,
    make: fn(&dyn Source, TimedRecord) -> T,
) -> Result<WindowRead<T>, Error> {
    for retreat in RETREATS {
        // What arrives at the open end while it is read would keep two readings from agreeing.
        let closed = server_time.map(|now| now.saturating_sub(retreat));
        let window = Window {
            to: window.to.or(closed.filter(|end| *end >= window.from)),
            ..window
        };
        if !retreat.is_zero() && window.to.is_none() {
            return Ok(WindowRead::Unsettled);
        }
        let mut records = match read_until_settled(&**source, window, most).await? {
            Settled::Records(records) => records,
            Settled::TooMany => {
                let end = window.to.unwrap_or(now);
                return Ok(WindowRead::TooDense {
                    estimate: 2 * most as u64,
                    end,
                });
            }
            Settled::Never if server_time.is_some() && window.to == closed => continue,
            Settled::Never => return Err(never_settles(window)),
        };
        records.reverse();
        return Ok(WindowRead::Complete(Complete {
            window,
            records: all(&**source, records, make),
            server_time,
            clock: server_time,
        }));
    }
    Err(never_settles(window))
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
