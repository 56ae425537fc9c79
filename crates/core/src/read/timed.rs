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

/// From here on a time cannot be; what is counted there is looked up for records without a time.
pub const FIRST_IMPOSSIBLE_TIME: Timestamp = LAST;

/// Files the records of a page; one that does not tell its time goes with the one before it, or
/// where there is none with the one behind it, or with `near`.
///
/// A time that cannot be because it lies too far ahead is the record's own all the same where the
/// page has it: beyond all others, because the service goes by it too. Then it is in each answer
/// without an end, and only by that time the same each time.
pub(super) fn timed(records: Vec<RawRecord>, near: Timestamp) -> Vec<TimedRecord> {
    let possible: Vec<Option<Timestamp>> = records.iter().map(own_time).collect();
    let first = possible.iter().position(Option::is_some);
    let last = possible.iter().rposition(Option::is_some);
    let ascends = first.and_then(|at| possible[at]) < last.and_then(|at| possible[at]);
    let is_beyond = |index: usize| match (first, last) {
        (Some(_), Some(last)) if ascends => index > last,
        (Some(first), _) => index < first,
        (None, _) => true,
    };
    let mut time = possible.iter().flatten().next().copied().unwrap_or(near);
    let timed = records.into_iter().enumerate().map(|(index, record)| {
        let own = possible[index].or_else(|| {
            let far = record.time().filter(|time| *time >= LAST);
            far.filter(|_| is_beyond(index))
        });
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
