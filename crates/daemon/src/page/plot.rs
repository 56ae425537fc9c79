//! Bar chart of records an hour over the last day, with a description for those who do not see it.

use confluence_audit_core::Timestamp;
use maud::{Markup, html};

use super::words::grouped;

const BAR: usize = 7;
const GAP: usize = 2;
const HEIGHT: u64 = 36;

/// Twenty-four bars; an hour with any record shows one.
pub(super) fn plot(day: &[u32], now: Timestamp) -> Markup {
    let most = day.iter().copied().max().unwrap_or(0);
    let width = day.len() * (BAR + GAP) - GAP;
    html! {
        svg role="img" aria-label=(description(day, now)) viewBox={ "0 0 " (width) " " (HEIGHT) }
            width=(width) height=(HEIGHT) {
            @for (index, count) in day.iter().enumerate() {
                @let height = height(*count, most);
                rect class=[(*count == 0).then_some("none")] x=(index * (BAR + GAP))
                    y=(HEIGHT - height) width=(BAR) height=(height) rx="1" {}
            }
        }
    }
}

fn height(count: u32, most: u32) -> u64 {
    match u64::from(count) {
        0 => 1,
        count => (count * HEIGHT).div_ceil(u64::from(most)).max(3),
    }
}

/// What the picture shows, in a sentence.
fn description(day: &[u32], now: Timestamp) -> String {
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
        let plot = plot(&day, at).into_string();
        assert_eq!(plot.matches("<rect").count(), 24);
        assert_eq!(plot.matches("class=\"none\"").count(), 22);
        assert!(plot.contains("height=\"36\" rx") && plot.contains("height=\"3\" rx"));
        let words = "5,001 in all, most 5,000 between 02 and 03 hours UTC, 1 in the hour";
        assert!(plot.contains(words), "{plot}");
    }
}
