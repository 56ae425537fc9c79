//! Collecting: a pass over a site, delivered as it goes.

use std::num::NonZeroUsize;

use confluence_audit_core::{Runtime, Timestamp};

use crate::Result;
use crate::connect::Site;
use crate::delivery::Delivery;
use crate::pass::{Found, Pass};
use crate::reread::Reread;
use crate::spool::Spool;
use crate::walk::Log;

/// Where a site's first pass begins, and what every pass reads again.
#[derive(Clone, Debug)]
pub struct Collecting {
    /// The first pass begins here; `None` is everything that the site keeps.
    pub start: Option<Timestamp>,
    /// What is read again, and how often.
    pub schedule: Vec<Reread>,
    /// How many windows are read at the same time.
    pub jobs: NonZeroUsize,
}

impl Default for Collecting {
    fn default() -> Self {
        Self {
            start: None,
            schedule: Reread::default_schedule(),
            jobs: NonZeroUsize::MIN,
        }
    }
}

/// Reads what is new at `site` and delivers it, window by window; `progress` is told after each.
///
/// What an earlier run left in the spool goes out first, whether or not the site answers. An output
/// that fails is noted by `delivery` and ends nothing.
///
/// # Errors
/// The first failure of the site or the spool. What was read until then is committed, and the next
/// pass goes on behind it.
pub async fn collect(
    site: &Site,
    spool: &dyn Spool,
    delivery: &mut Delivery,
    collecting: &Collecting,
    runtime: &dyn Runtime,
    mut progress: impl FnMut(&Found),
) -> Result<Found> {
    delivery.drain(spool).await?;
    let log = Log {
        client: site.client.clone(),
        search: None,
    };
    let mut pass = Pass::begin(log, site, spool, collecting, runtime).await?;
    while pass.step().await? {
        delivery.drain(spool).await?;
        progress(&pass.found());
    }
    Ok(pass.found())
}
