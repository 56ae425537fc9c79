//! One window of a site's log as a whole: walked if the log is ordered, by offset if it is not,
//! and given up early where it would hold more than fits.

use std::sync::Once;

use confluence_audit_core::{Error, Timestamp};

use crate::walk::{Log, Placed, Step, Walk, by_offset};
use crate::window::Window;

/// A window that was tried.
pub(crate) enum Slice {
    /// All of it.
    Whole(Whole),
    /// It holds more than it may, by this estimate.
    TooMany(u64),
}

/// A window that was read.
pub(crate) struct Whole {
    /// What was read: it may end earlier than what was asked for.
    pub(crate) window: Window,
    /// Oldest first.
    pub(crate) records: Vec<Placed>,
    /// The service's clock when the reading began.
    pub(crate) server_time: Option<Timestamp>,
}

/// Reads `window`, if it holds no more than about `most` records. `now` is the end of an open
/// window for the estimate alone.
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
    loop {
        match walk.step().await? {
            Step::Records(more) => records.extend(more),
            Step::End => break,
            Step::Unordered => return unordered(log, window, walk.server_time(), most).await,
        }
        let estimate = estimate(&records, window, now);
        if records.len() > most || (!walk.is_done() && is_hopeless(records.len(), estimate, most)) {
            return Ok(Slice::TooMany(estimate));
        }
    }
    records.reverse();
    Ok(Slice::Whole(Whole {
        window,
        records,
        server_time: walk.server_time(),
    }))
}

async fn unordered(
    log: &Log,
    window: Window,
    server_time: Option<Timestamp>,
    most: usize,
) -> Result<Slice, Error> {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(
            "the service does not give its records from new to old; they are read by offset, \
             which takes more requests"
        );
    });
    // What arrives at the open end while it is read would keep two readings from agreeing.
    let closed = server_time.filter(|now| window.to.is_none() && *now >= window.from);
    let window = Window {
        to: window.to.or(closed),
        ..window
    };
    let Some(mut records) = by_offset(log, window, most).await? else {
        return Ok(Slice::TooMany(2 * most as u64));
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

/// How many records a window holds, if it is everywhere as dense as in the part that was read.
fn estimate(records: &[Placed], window: Window, now: Timestamp) -> u64 {
    let (Some(newest), Some(oldest)) = (records.first(), records.last()) else {
        return 0;
    };
    let end = window.to.unwrap_or(now).max(newest.time);
    let read = end.since(oldest.time).as_millis().max(1);
    let all = end.since(window.from).as_millis().max(1);
    let estimate = records.len() as u128 * all / read;
    u64::try_from(estimate).unwrap_or(u64::MAX)
}
