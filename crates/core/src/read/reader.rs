//! A span of a site's log from its oldest record to its newest, in whole windows, several of which
//! may be read at the same time. They come out in order.

use std::num::NonZeroUsize;

use confluence_audit_core::{Error, Timestamp};
use tokio::task::JoinHandle;

use crate::slice::{self, Slice, Whole, outcome};
use crate::walk::{self, Log, Placed};
use crate::window::{Window, Windows};

/// How many records are in memory at a time, all windows together: that is also what a crash
/// costs at most.
const IN_MEMORY: usize = 6_000;

/// A window holds at least this many, so that its requests are worth their overlap.
const SMALLEST: usize = 2_000;

/// Reads a span of the log.
pub(crate) struct Reader<T> {
    log: Log,
    /// What is made of a record where it is read, which is on another thread than the caller's.
    make: fn(Placed) -> T,
    windows: Windows<Task<T>>,
    jobs: NonZeroUsize,
    /// How many records one window may hold.
    most: usize,
    now: Timestamp,
}

/// A window that is being read; nobody waits for it any longer when it is dropped.
struct Task<T>(JoinHandle<Result<Slice<T>, Error>>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T: Send + 'static> Reader<T> {
    /// Reads `span`, `jobs` windows at a time. `now` is a guess of the present; before `silent`
    /// nothing is likely to be found.
    pub(crate) fn new(
        log: Log,
        make: fn(Placed) -> T,
        span: Window,
        now: Timestamp,
        silent: Option<Timestamp>,
        jobs: NonZeroUsize,
    ) -> Self {
        let most = (IN_MEMORY / jobs).max(SMALLEST);
        // Room for windows denser than those before them, and a little less than whole pages: a
        // page that holds a few records takes as long as a full one.
        let page = walk::PAGE as usize;
        let target = (most / 2 / page).max(1) * page * 9 / 10;
        let mut windows = Windows::new(span, now, target as u64);
        if let Some(silent) = silent {
            windows = windows.with_silence_until(silent);
        }
        Self {
            log,
            make,
            windows,
            jobs,
            most,
            now,
        }
    }

    /// Begins to read what comes next.
    fn begin(&mut self) {
        let (log, make, most, now) = (&self.log, self.make, self.most, self.now);
        self.windows.begin(self.jobs.get(), |window| {
            let log = log.clone();
            Task(tokio::spawn(async move {
                slice::read(&log, window, most, now, make).await
            }))
        });
    }

    /// The next window, whole; `None` when the span has been read. The windows behind it are being
    /// read while the caller is busy with it.
    pub(crate) async fn next(&mut self) -> Result<Option<Whole<T>>, Error> {
        loop {
            self.begin();
            let Some((window, mut task)) = self.windows.pop() else {
                return Ok(None);
            };
            let slice = outcome(&mut task.0).await?;
            match slice {
                Slice::TooMany { estimate, end } => {
                    tracing::debug!(estimate, "{window} is cut");
                    self.windows.too_many(window, estimate, end);
                }
                Slice::Whole(whole) => {
                    tracing::debug!(records = whole.records.len(), "{} is read", whole.window);
                    self.windows
                        .done(window, whole.window, whole.records.len() as u64);
                    if let Some(now) = whole.server_time {
                        // The service's clock is the one that counts; ours was a first guess.
                        self.now = now;
                        self.windows.set_now(now);
                    }
                    self.begin();
                    return Ok(Some(whole));
                }
            }
        }
    }

    /// Whether the span has been read: nothing is left behind the last window.
    pub(crate) fn is_done(&self) -> bool {
        self.windows.is_done()
    }
}
