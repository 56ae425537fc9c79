//! A record with the millisecond that it is filed under.

use crate::record::RawRecord;
use crate::time::Timestamp;

/// The years that a record of Confluence's can be from: what is outside is no time in milliseconds
/// (seconds, microseconds, a negative number) and says nothing of where the record stands.
const FIRST: Timestamp = Timestamp::from_millis(946_684_800_000); // 2000-01-01
const LAST: Timestamp = Timestamp::from_millis(7_258_118_400_000); // 2200-01-01

/// A record and the millisecond that it is filed under: its own time, or, where a record does not
/// tell its time, that of its neighbour.
#[derive(Clone, Debug)]
pub struct TimedRecord {
    /// The millisecond.
    pub time: Timestamp,
    /// The record.
    pub record: RawRecord,
    /// Whether the record itself tells this time.
    pub is_own_time: bool,
}

/// Whether a record can be from this time; one that says it is from another says nothing of where
/// it stands.
pub fn is_possible_time(time: Timestamp) -> bool {
    (FIRST..LAST).contains(&time)
}

fn own_time(record: &RawRecord) -> Option<Timestamp> {
    record.time().filter(|time| is_possible_time(*time))
}

/// Files the records of a page; one that does not tell its time goes with the one before it, or
/// where there is none with the one behind it, or with `near`.
pub(super) fn timed(records: Vec<RawRecord>, near: Timestamp) -> Vec<TimedRecord> {
    let mut time = records.iter().find_map(own_time).unwrap_or(near);
    let timed = records.into_iter().map(|record| {
        let own = own_time(&record);
        time = own.unwrap_or(time);
        TimedRecord {
            time,
            record,
            is_own_time: own.is_some(),
        }
    });
    timed.collect()
}

/// Orders records from new to old, and those of one millisecond as the service has them, which is
/// turned about when it has the old ones first.
pub(super) fn newest_first(records: &mut [TimedRecord]) {
    let ascends =
        records.first().map(|record| record.time) < records.last().map(|record| record.time);
    if ascends {
        records.reverse();
    }
    records.sort_by_key(|record| std::cmp::Reverse(record.time));
}

/// The millisecond before `time`.
pub(super) fn before(time: Timestamp) -> Timestamp {
    Timestamp::from_millis(time.as_millis().saturating_sub(1))
}

/// The millisecond after `time`.
pub(super) fn after(time: Timestamp) -> Timestamp {
    Timestamp::from_millis(time.as_millis().saturating_add(1))
}
