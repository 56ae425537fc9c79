//! What of a reading is new: the difference of two multisets.
//!
//! Records have no id, and two events can be identical to the byte. So what is compared is how
//! many copies of a content the site has at a millisecond with how many were committed: twins
//! survive, late arrivals come out when they are next read, and nothing comes out twice.

use std::collections::HashMap;

use confluence_audit_core::{Fingerprint, Timestamp};

use crate::spool::{Counts, NewRecord};
use crate::walk::Placed;

/// A record with the name of its content.
pub(crate) struct Named {
    pub(crate) placed: Placed,
    fingerprint: Fingerprint,
}

impl Named {
    pub(crate) fn of(placed: Placed) -> Self {
        Self {
            fingerprint: placed.record.fingerprint(),
            placed,
        }
    }
}

/// The records of a reading that were not committed before.
pub(crate) struct Difference {
    /// In the order of the reading.
    pub(crate) new: Vec<NewRecord>,
    /// How many were read that had been committed.
    pub(crate) known: u64,
}

/// Compares a reading of a window, oldest first, with what was committed of that window.
pub(crate) fn difference(read: impl IntoIterator<Item = Named>, committed: &Counts) -> Difference {
    let mut seen: HashMap<(Timestamp, Fingerprint), u32> = HashMap::new();
    let mut difference = Difference {
        new: Vec::new(),
        known: 0,
    };
    for Named {
        placed: Placed { time, record },
        fingerprint,
    } in read
    {
        let ordinal = seen.entry((time, fingerprint)).or_insert(0);
        *ordinal += 1;
        // The first copies are the ones that were read before; only the rest is new.
        if *ordinal <= committed.get(&(time, fingerprint)).copied().unwrap_or(0) {
            difference.known += 1;
            continue;
        }
        let line = record.line().clone();
        difference.new.push(NewRecord {
            time,
            fingerprint,
            ordinal: *ordinal,
            line,
        });
    }
    difference
}

#[cfg(test)]
mod tests {
    use confluence_audit_core::RawRecord;

    use super::*;

    fn placed(time: i64, text: &str) -> Named {
        let record = RawRecord::parse(format!(r#"{{"summary":"{text}"}}"#)).unwrap();
        Named::of(Placed {
            time: Timestamp::from_millis(time),
            record,
        })
    }

    #[test]
    fn twins_come_out_as_often_as_the_site_has_them_and_never_again() {
        let first = difference(
            [placed(1, "a"), placed(1, "a"), placed(2, "a")],
            &Counts::new(),
        );
        assert_eq!(
            first.new.iter().map(|r| r.ordinal).collect::<Vec<_>>(),
            [1, 2, 1]
        );

        let mut committed = Counts::new();
        for record in &first.new {
            *committed
                .entry((record.time, record.fingerprint))
                .or_insert(0) += 1;
        }
        let again = || [placed(1, "a"), placed(1, "a"), placed(2, "a")].into_iter();
        let second = difference(again(), &committed);
        assert_eq!((second.new.len(), second.known), (0, 3));

        let third = difference(again().chain([placed(1, "a"), placed(1, "b")]), &committed);
        assert_eq!(
            third.new.iter().map(|r| r.ordinal).collect::<Vec<_>>(),
            [3, 1]
        );
    }

    #[test]
    fn a_copy_that_the_site_no_longer_has_takes_nothing_back() {
        let record = placed(1, "a");
        let key = (record.placed.time, record.fingerprint);
        let difference = difference([record], &Counts::from([(key, 2)]));
        assert_eq!((difference.new.len(), difference.known), (0, 1));
    }
}
