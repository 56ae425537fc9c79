//! The bound on what waits for outputs: when it is reached, collecting waits as well, aloud,
//! rather than drop records or fill the disk.

use crate::delivery::{Board, Standing};
use crate::size::show_size;
use crate::spool::Spool;
use crate::{Error, ErrorKind, Result};

/// Makes sure that less than `limit` bytes wait in the spool; where there are more, waits for the
/// outputs, and those that have failed are tried once more.
///
/// # Errors
/// [`SpoolFull`](ErrorKind::SpoolFull) when that was in vain, and what the spool can fail with.
pub(crate) async fn make_room(limit: u64, spool: &dyn Spool, board: &Board) -> Result<()> {
    if board.waiting().is_some_and(|waiting| waiting < limit) {
        return Ok(());
    }
    if measure(spool, board).await? < limit {
        return Ok(());
    }
    board.retry();
    board.settled().await;
    let waiting = measure(spool, board).await?;
    if waiting < limit {
        return Ok(());
    }
    Err(full(waiting, limit, &board.outputs()))
}

async fn measure(spool: &dyn Spool, board: &Board) -> Result<u64> {
    let bytes = spool.depth().await?.bytes;
    board.set_waiting(bytes);
    Ok(bytes)
}

fn full(waiting: u64, limit: u64, outputs: &[Standing]) -> Error {
    let behind = outputs.iter().filter(|output| output.is_behind);
    let behind: Vec<&str> = behind.map(|output| output.name.as_str()).collect();
    let behind = behind.join(", ");
    let (waiting, limit) = (show_size(waiting), show_size(limit));
    tracing::warn!(
        output = %behind,
        waiting,
        limit,
        "the spool is full: collecting waits until the output takes what it lacks"
    );
    Error::new(
        ErrorKind::SpoolFull,
        format!("the spool is full: {waiting} wait for {behind}, and the limit is {limit}"),
        "Mend that output, or take it out of the configuration: the next run delivers what \
         waits and goes on reading where this one stopped. Nothing is lost for as long as the \
         site keeps its records; [state] spool_limit lets more of them wait here.",
    )
}
