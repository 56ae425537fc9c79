//! Records added to the log after the start: by a test, or by themselves while a client pages.

use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::required::deserialize as duration;
use serde::Deserialize;

/// Records to add with [`Sim::insert`](crate::Sim::insert).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewRecords {
    /// How many.
    pub count: usize,
    /// With which time.
    pub when: When,
    /// Whether they are identical to the byte to a record that the log already holds: the last one at or before the
    /// chosen time, but never one older than [`When`] allows. Where there is none the first is new, and the next are
    /// its twins.
    pub twins: bool,
}

impl Default for NewRecords {
    fn default() -> Self {
        Self {
            count: 1,
            when: When::Now,
            twins: false,
        }
    }
}

/// The time that a new record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// The site's now.
    Now,
    /// A time drawn for each record between the site's now and this long before it.
    Late(#[serde(deserialize_with = "duration")] Duration),
    /// This one, in epoch milliseconds.
    At(i64),
}

/// Records that arrive by themselves, with every so many pages that the site serves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Arrival {
    /// The number of pages between two arrivals; 1 is with every page.
    pub every: usize,
    /// What arrives each time.
    pub records: NewRecords,
    /// Whether they arrive just after the page was read from the log rather than just before.
    pub after: bool,
    /// No more than this many records in all.
    pub total: usize,
}

impl Default for Arrival {
    fn default() -> Self {
        Self {
            every: 1,
            records: NewRecords::default(),
            after: true,
            total: usize::MAX,
        }
    }
}
