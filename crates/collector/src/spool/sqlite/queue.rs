//! What waits, and what becomes of it when it has been delivered.

use rusqlite::{Connection, Transaction, params};

use super::fault::Fault;
use crate::spool::Depth;
use crate::{Result, SiteId};

/// Free space inside the file above which it is given back after a sweep: one long failure of an
/// output shall not cost its disk space for ever.
pub(super) const KEPT_FREE: i64 = 64 * 1024 * 1024;

/// What has a higher number than `seq`, of one site or of all.
pub(super) fn depth_behind(
    transaction: &Connection,
    seq: i64,
    site: Option<&SiteId>,
) -> Result<Depth, Fault> {
    let depth = transaction
        .prepare_cached(
            "SELECT count(*), coalesce(sum(length(line)), 0) FROM record
             WHERE seq > ?1 AND (?2 IS NULL OR site = (SELECT id FROM site WHERE name = ?2))",
        )?
        .query_row(params![seq, site.map(SiteId::as_str)], |row| {
            Ok(Depth {
                records: row.get::<_, i64>(0)?.unsigned_abs(),
                bytes: row.get::<_, i64>(1)?.unsigned_abs(),
            })
        })?;
    Ok(depth)
}

pub(super) fn give_back_space(transaction: &Transaction<'_>) -> Result<(), Fault> {
    let pragma = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    if pragma("freelist_count")?.saturating_mul(pragma("page_size")?) > KEPT_FREE {
        // One page a step, and a row of nothing for each.
        let mut vacuum = transaction.prepare("PRAGMA incremental_vacuum")?;
        let mut pages = vacuum.query([])?;
        while pages.next()?.is_some() {}
    }
    Ok(())
}
