//! Records an hour over the last day, as a small picture with words for those who do not see it.

use std::fmt::Write as _;

use confluence_audit_core::Timestamp;

use super::words::grouped;

const BAR: usize = 7;
const GAP: usize = 2;
const HEIGHT: u64 = 36;

/// Twenty-four bars; an hour with any record shows one.
pub(super) fn plot(day: &[u32], now: Timestamp) -> String {
    let most = day.iter().copied().max().unwrap_or(0);
    let width = day.len() * (BAR + GAP) - GAP;
    let mut bars = String::new();
    for (index, count) in day.iter().enumerate() {
        let x = index * (BAR + GAP);
        let (class, height) = match u64::from(*count) {
            0 => (" class=\"none\"", 1),
            count => {
                let height = (count * HEIGHT).div_ceil(u64::from(most)).max(3);
                ("", height)
            }
        };
        let _ = write!(
            bars,
            "<rect{class} x=\"{x}\" y=\"{}\" width=\"{BAR}\" height=\"{height}\" rx=\"1\"/>",
            HEIGHT - height
        );
    }
    format!(
        "<svg role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {width} {HEIGHT}\" width=\"{width}\" \
         height=\"{HEIGHT}\">{bars}</svg>",
        said(day, now)
    )
}

/// What the picture shows, in a sentence.
fn said(day: &[u32], now: Timestamp) -> String {
    let total: u64 = day.iter().copied().map(u64::from).sum();
    if total == 0 {
        return "Records an hour over the last day: none".to_owned();
    }
    let busiest = day.iter().enumerate().max_by_key(|(_, count)| **count);
    let (back, most) = busiest.map_or((0, 0), |(index, most)| (day.len() - 1 - index, *most));
    let hour = now.as_millis().div_euclid(3_600_000) - i64::try_from(back).unwrap_or(0);
    format!(
        "Records an hour over the last day: {} in all, most {} between {:02} and {:02} hours UTC, \
         {} in the hour that has begun",
        grouped(total),
        grouped(most.into()),
        hour.rem_euclid(24),
        (hour + 1).rem_euclid(24),
        grouped(day.last().copied().unwrap_or(0).into())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hour_has_a_bar_and_one_record_is_seen() {
        let mut day = [0; 24];
        (day[22], day[23]) = (5_000, 1);
        let at = Timestamp::parse_rfc3339("2026-01-02T03:30:00Z").unwrap();
        let plot = plot(&day, at);
        assert_eq!(plot.matches("<rect").count(), 24);
        assert_eq!(plot.matches("class=\"none\"").count(), 22);
        assert!(plot.contains("height=\"36\" rx") && plot.contains("height=\"3\" rx"));
        let words = "5,001 in all, most 5,000 between 02 and 03 hours UTC, 1 in the hour";
        assert!(plot.contains(words), "{plot}");
    }
}
