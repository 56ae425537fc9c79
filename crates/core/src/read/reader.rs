//! Reader: a span of the log in whole windows, oldest first, several of which may be read at the
//! same time. They come out in order.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::error::Error;
use crate::read::source::{PAGE_SIZE, Source};
use crate::read::timed::TimedRecord;
use crate::read::window::{Window, Windows};
use crate::read::window_read::{Complete, WindowRead, outcome, read_window};
use crate::time::Timestamp;

/// How many records are in memory at a time, all windows together: that is also what a crash
/// costs at most.
const IN_MEMORY: usize = 6_000;

/// A window holds at least this many, so that its requests are worth their overlap.
const SMALLEST: usize = 2_000;

/// Reads a span of the log.
pub struct Reader<T> {
    source: Arc<dyn Source>,
    /// What is made of a record where it is read, which is on another thread than the caller's.
    make: fn(&dyn Source, TimedRecord) -> T,
    windows: Windows<Task<T>>,
    jobs: NonZeroUsize,
    /// How many records one window may hold.
    most: usize,
    now: Timestamp,
}

/// A window that is being read; nobody waits for it any longer when it is dropped.
struct Task<T>(JoinHandle<Result<WindowRead<T>, Error>>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T: Send + 'static> Reader<T> {
    /// Reads `span`, `jobs` windows at a time. `now` is a guess of the present; before `silent`
    /// nothing is likely to be found.
    pub fn new(
        source: Arc<dyn Source>,
        make: fn(&dyn Source, TimedRecord) -> T,
        span: Window,
        now: Timestamp,
        silent: Option<Timestamp>,
        jobs: NonZeroUsize,
    ) -> Self {
        let most = (IN_MEMORY / jobs).max(SMALLEST);
        // Room for windows denser than those before them, and a little less than whole pages: a
        // page that holds a few records takes as long as a full one.
        let page = PAGE_SIZE as usize;
        let target = (most / 2 / page).max(1) * page * 9 / 10;
        let mut windows = Windows::new(span, now, target as u64);
        if let Some(silent) = silent {
            windows = windows.with_silence_until(silent);
        }
        Self {
            source,
            make,
            windows,
            jobs,
            most,
            now,
        }
    }

    /// Begins to read what comes next.
    fn begin(&mut self) {
        let (source, make, most, now) = (&self.source, self.make, self.most, self.now);
        self.windows.begin(self.jobs.get(), |window| {
            let source = Arc::clone(source);
            Task(tokio::spawn(async move {
                read_window(&source, window, most, now, make).await
            }))
        });
    }

    /// The next window, whole; `None` when the span has been read. The windows behind it are being
    /// read while the caller is busy with it.
    ///
    /// # Errors
    /// Every kind that is about the service, the network or the credentials.
    pub async fn next(&mut self) -> Result<Option<Complete<T>>, Error> {
        loop {
            self.begin();
            let Some((window, mut task)) = self.windows.pop() else {
                return Ok(None);
            };
            match outcome(&mut task.0).await? {
                WindowRead::TooDense { estimate, end } => {
                    tracing::debug!(estimate, "{window} is cut");
                    self.windows.too_many(window, estimate, end);
                }
                WindowRead::Unsettled => {
                    tracing::warn!(
                        "records keep arriving while {window} is read, in a log that is not \
                         ordered from new to old: the next run reads it"
                    );
                    self.windows.leave_rest();
                    return Ok(None);
                }
                WindowRead::Complete(complete) => {
                    tracing::debug!(
                        records = complete.records.len(),
                        "{} is read",
                        complete.window
                    );
                    self.windows
                        .done(window, complete.window, complete.records.len() as u64);
                    if let Some(now) = complete.server_time {
                        // The service's clock is the one that counts; ours was a first guess.
                        self.now = now;
                        self.windows.set_now(now);
                    }
                    self.begin();
                    return Ok(Some(complete));
                }
            }
        }
    }

    /// Whether the span has been read: nothing is left behind the last window.
    pub fn is_done(&self) -> bool {
        self.windows.is_done()
    }
}
