//! Collecting: a pass over a site, committed and delivered as it goes.

use std::num::NonZeroUsize;

use confluence_audit_core::{Runtime, Timestamp};
use futures_util::future::try_join;

use crate::Result;
use crate::connect::Site;
use crate::delivery::{Board, Delivery, Patience};
use crate::pass::{Found, Pass};
use crate::reread::Reread;
use crate::room::make_room;
use crate::spool::Spool;
use crate::walk::Log;

/// Where a site's first pass begins, what every pass reads again, and how much of it at a time.
#[derive(Clone, Debug)]
pub struct Collecting {
    /// The first pass begins here; `None` is everything that the site keeps.
    pub start: Option<Timestamp>,
    /// What is read again, and how often.
    pub schedule: Vec<Reread>,
    /// How many windows are read at the same time.
    pub jobs: NonZeroUsize,
    /// How many bytes of records may wait for outputs. The window in hand may go beyond it.
    pub spool_limit: u64,
}

impl Default for Collecting {
    fn default() -> Self {
        Self {
            start: None,
            schedule: Reread::default_schedule(),
            jobs: NonZeroUsize::MIN,
            spool_limit: u64::MAX,
        }
    }
}

/// Reads what is new at `site` and delivers it, window by window, the next one being read while the
/// last goes out; `progress` is told after each.
///
/// What an earlier run left in the spool goes out first, whether or not the site answers. An output
/// that fails is noted by `delivery` and ends nothing.
///
/// # Errors
/// The first failure of the site or the spool, and [`SpoolFull`](crate::ErrorKind::SpoolFull) when
/// nothing more may be read because outputs do not take what waits. What was read until then is
/// committed, and the next pass goes on behind it.
pub async fn collect(
    site: &Site,
    spool: &dyn Spool,
    delivery: &mut Delivery,
    collecting: &Collecting,
    runtime: &dyn Runtime,
    progress: impl FnMut(&Found),
) -> Result<Found> {
    delivery.drain(spool, runtime).await?;
    delivery.reopen();
    let board = delivery.board();
    let reading = async {
        let found = read(site, spool, &board, collecting, runtime, progress).await;
        board.finish();
        Ok(found)
    };
    // Only the spool's failure ends the delivery, and then nothing can be committed either.
    let (found, ()) = try_join(reading, delivery.run(spool, Patience::RUN, runtime)).await?;
    found
}

/// Reads what is new at `site` and commits it, window by window, for a [`Delivery`] that
/// [runs](Delivery::run) beside it and whose board this is; `progress` is told after each.
///
/// # Errors
/// As [`collect`].
pub async fn read(
    site: &Site,
    spool: &dyn Spool,
    board: &Board,
    collecting: &Collecting,
    runtime: &dyn Runtime,
    mut progress: impl FnMut(&Found),
) -> Result<Found> {
    let limit = collecting.spool_limit;
    make_room(limit, spool, board).await?;
    let mut pass = Pass::begin(log(site), site, Some(spool), collecting, runtime).await?;
    while let Some(commit) = pass.next().await? {
        let bytes = commit.records.iter().map(|record| record.line.len() as u64);
        let bytes = bytes.sum();
        spool.commit(&site.id, commit).await?;
        board.committed(bytes).await;
        progress(&pass.found());
        if !pass.is_done() {
            make_room(limit, spool, board).await?;
        }
    }
    Ok(pass.found())
}

/// Reads what [`collect`] would and counts it, and leaves everything as it is. `spool` holds what
/// was collected before, if there is anything.
///
/// # Errors
/// The first failure of the site or the spool.
pub async fn count(
    site: &Site,
    spool: Option<&dyn Spool>,
    collecting: &Collecting,
    runtime: &dyn Runtime,
    mut progress: impl FnMut(&Found),
) -> Result<Found> {
    let mut pass = Pass::begin(log(site), site, spool, collecting, runtime).await?;
    while pass.next().await?.is_some() {
        progress(&pass.found());
    }
    Ok(pass.found())
}

fn log(site: &Site) -> Log {
    Log {
        client: site.client.clone(),
        search: None,
    }
}
