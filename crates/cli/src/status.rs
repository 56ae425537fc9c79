//! `status`: prints how far each site is read, how its last pass ended, what waits for outputs, and
//! how long its consent lasts.

use std::time::Duration;

use confluence_audit_collector::config::show_size;
use confluence_audit_collector::credentials::token_file::day;
use confluence_audit_collector::pass::LastPass;
use confluence_audit_collector::spool::Overview;
use confluence_audit_collector::status::{SiteStatus, Status};
use confluence_audit_core::{Timestamp, printable};
use serde_json::{Value, json};

use crate::options::SiteArgs;
use crate::report::{Failure, say};
use crate::settings;
use crate::state::{backlog, span};

pub(crate) async fn run(args: &SiteArgs, as_json: bool) -> Result<(), Failure> {
    let setup = settings::read(args)?;
    let (status, now) = (Status::read(&setup).await?, setup.runtime().now());
    let state_dir = setup.state_dir.display().to_string();
    if as_json {
        return say(&json_of(&state_dir, &status, now).to_string());
    }
    let sites = status.sites.iter();
    let mut text: Vec<String> = sites.flat_map(|site| text_of_site(site, now)).collect();
    match &status.overview {
        Some(overview) => text.extend(text_of(overview)),
        None => text.push(format!(
            "there is no state in {} yet: nothing was ever fetched",
            printable(&state_dir, 4096)
        )),
    }
    say(&text.join("\n"))
}

fn text_of_site(site: &SiteStatus, now: Timestamp) -> Vec<String> {
    let id = site.state.as_ref().map(|state| format!(" ({})", state.id));
    let name = format!("site {}{}", site.name, id.unwrap_or_default());
    let mut text = vec![printable(&name, 400)];
    text.push(match site.watermark() {
        Some(at) => format!("  read up to {at}, {} ago", span(at, now)),
        None => "  never read".to_owned(),
    });
    if let Some(at) = site.last_pass() {
        text.push(format!("  last run {} ago ({at})", span(at, now)));
    }
    if let Some(last) = &site.last {
        text.extend(text_of_last(last, now));
    }
    if let Some(day) = site.day {
        let all: u32 = day.iter().fold(0, |sum, hour| sum.saturating_add(*hour));
        let plot = plot(&day);
        text.push(format!(
            "  records an hour, last day: {plot} ({all} in all)"
        ));
    }
    match &site.consent {
        None => {}
        Some(Ok(kept)) => {
            text.push(format!(
                "  authorization of {} expires {}, unused {}",
                day(kept.consent.given_at),
                day(kept.ends()),
                day(kept.ends_unused().min(kept.ends()))
            ));
            text.extend(kept.warning(now).map(|warning| format!("  {warning}")));
        }
        Some(Err(error)) => text.push(format!("  {error}")),
    }
    text
}

fn json_of_site(site: &SiteStatus, now: Timestamp) -> Value {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let seconds = |at: Option<Timestamp>| at.map(|at| now.since(at).as_secs());
    let consent = site.consent.as_ref().map(|consent| match consent {
        Ok(kept) => json!({
            "given_at": kept.consent.given_at.to_string(),
            "ends": kept.ends().to_string(),
            "ends_unused": kept.ends_unused().min(kept.ends()).to_string(),
            "warning": kept.warning(now),
        }),
        Err(error) => json!({"error": error.to_string()}),
    });
    json!({
        "name": site.name,
        "id": site.state.as_ref().map(|state| state.id.as_str()),
        "watermark": time(site.watermark()),
        // While a log is silent its watermark stands still, and nobody is behind.
        "lag_seconds": seconds(site.watermark().max(site.last_pass())),
        "last_pass": time(site.last_pass()),
        "seconds_since_last_pass": seconds(site.last_pass()),
        "consent": consent,
        "last_error": site.last.as_ref().and_then(|last| last.error.as_ref()),
        "last_error_at": site.last.as_ref().filter(|last| last.error.is_some())
            .map(|last| last.ended().to_string()),
        "late": site.last.as_ref().map(|last| last.late),
        "late_by_ms": site.last.as_ref().map(|last| last.late_by_ms),
        "records_an_hour": site.day,
    })
}

/// What is worth telling of the last pass and those before it.
fn text_of_last(last: &LastPass, now: Timestamp) -> Vec<String> {
    let mut text = Vec::new();
    if let Some(error) = &last.error {
        let ago = span(last.ended(), now);
        text.push(format!(
            "  FAILED {ago} ago: {}",
            printable(&error.message, 2000)
        ));
        text.push(format!("    {}", printable(&error.remedy, 2000)));
    }
    if last.late > 0 {
        let by = Timestamp::from_millis(0).saturating_add(Duration::from_millis(last.late_by_ms));
        let by = span(Timestamp::from_millis(0), by);
        let (late, records) = (last.late, last.records);
        text.push(format!(
            "  {late} of {records} records arrived late, by {by} at most"
        ));
    }
    text
}

/// Hours as bars; one with few records has one too.
fn plot(hours: &[u32]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = hours.iter().copied().max().unwrap_or(0).max(1);
    let bar = |count: u32| match count {
        0 => '·',
        count => BARS[usize::try_from(u64::from(count) * 7 / u64::from(most)).unwrap_or(7)],
    };
    hours.iter().map(|count| bar(*count)).collect()
}

fn text_of(overview: &Overview) -> Vec<String> {
    let mut text = vec![format!(
        "spool: backlog {}, {} on disk",
        backlog(overview.depth),
        show_size(overview.size)
    )];
    text.extend(overview.outputs.iter().map(|output| {
        let name = printable(output.name.as_str(), 4096);
        format!("output {name}: backlog {}", backlog(output.waiting))
    }));
    text
}

fn json_of(state_dir: &str, status: &Status, now: Timestamp) -> Value {
    let overview = status.overview.as_ref();
    let sites = status.sites.iter().map(|site| json_of_site(site, now));
    let spool = overview.map(|overview| {
        json!({
            "records": overview.depth.records,
            "bytes": overview.depth.bytes,
            "size": overview.size,
        })
    });
    let outputs = overview.map_or(&[][..], |overview| &overview.outputs);
    let outputs = outputs.iter().map(|output| {
        json!({
            "name": output.name.as_str(),
            "waiting": {"records": output.waiting.records, "bytes": output.waiting.bytes},
        })
    });
    json!({
        "state_dir": state_dir,
        "sites": sites.collect::<Vec<_>>(),
        "spool": spool,
        "outputs": outputs.collect::<Vec<_>>(),
    })
}
