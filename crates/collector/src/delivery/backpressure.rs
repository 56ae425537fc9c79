//! Back-pressure: reading stops while more than `spool_limit` bytes wait for outputs, with a
//! warning, rather than drop records or fill the disk.

use crate::delivery::{OutputStatus, Progress};
use crate::spool::Spool;
use crate::value::show_size;
use crate::{Error, ErrorKind, Result};

/// Makes sure that less than `limit` bytes wait in the spool; where there are more, waits for the
/// outputs, and those that have failed are tried once more.
///
/// # Errors
/// [`SpoolFull`](ErrorKind::SpoolFull) when that was in vain, and what the spool can fail with.
pub(crate) async fn wait_for_capacity(
    limit: u64,
    spool: &dyn Spool,
    progress: &Progress,
) -> Result<()> {
    if progress.waiting().is_some_and(|waiting| waiting < limit) {
        return Ok(());
    }
    if measure(spool, progress).await? < limit {
        return Ok(());
    }
    progress.retry();
    progress.settled().await;
    let waiting = measure(spool, progress).await?;
    if waiting < limit {
        return Ok(());
    }
    Err(full(waiting, limit, &progress.outputs()))
}

async fn measure(spool: &dyn Spool, progress: &Progress) -> Result<u64> {
    let bytes = spool.depth().await?.bytes;
    progress.set_waiting(bytes);
    Ok(bytes)
}

fn full(waiting: u64, limit: u64, outputs: &[OutputStatus]) -> Error {
    let behind = outputs.iter().filter(|output| output.is_behind);
    let behind: Vec<&str> = behind.map(|output| output.name.as_str()).collect();
    let behind = behind.join(", ");
    let (waiting, limit) = (show_size(waiting), show_size(limit));
    tracing::warn!(
        output = %behind,
        waiting,
        limit,
        "the spool is full: reading waits until the output works again"
    );
    Error::new(
        ErrorKind::SpoolFull,
        format!("the spool is full: {waiting} wait for {behind}, and the limit is {limit}"),
        "Fix that output: the next run delivers what \
         waits and goes on reading where this one stopped. Nothing is lost for as long as the \
         site keeps its records; [state] spool_limit lets more of them wait here.",
    )
}
