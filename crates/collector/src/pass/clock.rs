//! How far a log has been read: by the service's clock, this host's and the newest record, none of
//! which is believed alone.
//!
//! A watermark that is too low costs reading again; one that is too high costs records. So the
//! service's clock counts only up to this host's and a tolerance; beyond it, and where the service
//! tells no time, the newest record that lies before both.

use std::time::Duration;

use confluence_audit_core::Timestamp;

/// Two clocks that are set by the same time are no further apart, a slow answer included.
pub(super) const TOLERANCE: Duration = Duration::from_mins(5);

/// Up to where a window has been read, whose records have these `times`; `None` where nothing
/// tells.
pub(super) fn read_until(
    service: Option<Timestamp>,
    host: Timestamp,
    times: impl Iterator<Item = Timestamp>,
) -> Option<Timestamp> {
    let latest = host.saturating_add(TOLERANCE);
    match service {
        Some(service) if service <= latest => Some(service),
        _ => times.filter(|time| *time <= latest).max(),
    }
}

/// Whether `time` has not come yet by either clock.
pub(super) fn is_future(time: Timestamp, service: Option<Timestamp>, host: Timestamp) -> bool {
    let clock = service.map_or(host, |service| service.min(host));
    time > clock.saturating_add(TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_millis(day * DAY)
    }

    #[test]
    fn no_clock_alone_puts_the_watermark_into_the_future() {
        let records = || [at(97), at(99), at(140)].into_iter();
        // All clocks right.
        assert_eq!(read_until(Some(at(100)), at(100), records()), Some(at(100)));
        // The service's is ahead: a proxy's, or a bad edge's.
        assert_eq!(read_until(Some(at(140)), at(100), records()), Some(at(99)));
        // Or behind, which costs reading again.
        assert_eq!(read_until(Some(at(60)), at(100), records()), Some(at(60)));
        // This host's is ahead: the service's counts.
        assert_eq!(read_until(Some(at(100)), at(140), records()), Some(at(100)));
        // This host's is behind: no more than is known to lie before both.
        assert_eq!(read_until(Some(at(100)), at(98), records()), Some(at(97)));
        // The service tells no time, and a record tells a wrong one.
        assert_eq!(read_until(None, at(100), records()), Some(at(99)));
        assert_eq!(read_until(None, at(50), records()), None);
    }
}
