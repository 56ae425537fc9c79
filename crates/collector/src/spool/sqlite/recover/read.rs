//! Reading of broken tables, as far as their trees still reach.

use std::collections::VecDeque;

use rusqlite::{Connection, Row, params};

use crate::Result;
use crate::spool::sqlite::error::StoreError;

/// How often a broken page may be run into until the rest of a table is given up.
const PROBES: u32 = 20_000;

/// One table read as far as it can be.
pub(super) struct Reading {
    /// Nothing was in the way.
    pub(super) complete: bool,
}

/// Hands each row that `sql` finds with a key from `?1` to `?2` to `take`, with its key, the first
/// column. `take` says whether the row was good.
///
/// Wider spans are tried before narrower ones, so that a limit on the tries costs little.
pub(super) fn read_span(
    source: &Connection,
    sql: &str,
    (low, high): (i64, i64),
    take: &mut dyn FnMut(i64, &Row<'_>) -> Result<bool, StoreError>,
) -> Result<Reading, StoreError> {
    let mut complete = true;
    let mut probes = PROBES;
    let mut spans = VecDeque::from([(low, high)]);
    while let Some((low, high)) = spans.pop_front() {
        let mut reached = low;
        let broken = match source.prepare_cached(sql) {
            Err(_) => true,
            Ok(mut statement) => {
                let mut rows = statement.query(params![low, high])?;
                loop {
                    match rows.next() {
                        Ok(None) => break false,
                        Err(_) => break true,
                        Ok(Some(row)) => match row.get(0) {
                            // A tree that leads back is broken too, and would never end.
                            Ok(key) if (reached..=high).contains(&key) => {
                                reached = key;
                                complete &= take(key, row)?;
                            }
                            _ => break true,
                        },
                    }
                }
            }
        };
        if !broken {
            continue;
        }
        complete = false;
        probes = probes.saturating_sub(1);
        // What was read up to here is not read again.
        let next = reached.saturating_add(i64::from(reached > low));
        if next >= high || probes == 0 {
            continue;
        }
        let middle = i64::try_from(i128::midpoint(next.into(), high.into())).unwrap_or(next);
        spans.push_back((middle.saturating_add(1), high));
        spans.push_back((next, middle));
    }
    Ok(Reading { complete })
}

/// Hands each row that `sql` finds to `take`, once in its order and once in the opposite one: by
/// name there is nothing to halve, and this reaches all but the broken middle. `take` says whether
/// the row was good, and may get it twice.
pub(super) fn read_from_both_ends(
    source: &Connection,
    sql: &str,
    take: &mut dyn FnMut(&Row<'_>) -> Result<bool, StoreError>,
) -> Result<Reading, StoreError> {
    let mut complete = true;
    for order in ["ASC", "DESC"] {
        let Ok(mut statement) = source.prepare(&format!("{sql} {order}")) else {
            complete = false;
            continue;
        };
        let mut rows = statement.query([])?;
        // A tree that leads back never ends.
        let mut left = PROBES;
        loop {
            match rows.next() {
                Ok(None) => break,
                Ok(Some(row)) if left > 0 => complete &= take(row)?,
                _ => {
                    complete = false;
                    break;
                }
            }
            left -= 1;
        }
    }
    Ok(Reading { complete })
}
