//! `status`: how each site stands, as an operator asks for it: how far its log has been read, when
//! the last pass ended and why it failed, what each hour brought, what waits for outputs, and how long its consent lasts.

use std::time::Duration;

use confluence_audit_collector::config::show_size;
use confluence_audit_collector::config::{Address, AuthConfig, SiteConfig};
use confluence_audit_collector::credentials::TokenFile;
use confluence_audit_collector::credentials::token_file::{Stored, day};
use confluence_audit_collector::metrics::HourlyCounts;
use confluence_audit_collector::spool::{Overview, SiteOverview, Spool as _, SqliteSpool};
use confluence_audit_collector::state::LastPass;
use confluence_audit_core::{Runtime as _, SystemRuntime, Timestamp, printable};
use serde_json::{Value, json};

use crate::args::SiteArgs;
use crate::report::Failure;
use crate::settings::Settings;
use crate::state::{say, span, waiting};

pub(crate) async fn run(args: &SiteArgs, as_json: bool) -> Result<(), Failure> {
    let settings = Settings::read(args)?;
    let spool = SqliteSpool::open_read_only(settings.state_dir())?;
    let overview = match &spool {
        Some(spool) => Some(spool.overview().await?),
        None => None,
    };
    let now = SystemRuntime.now();
    let mut sites = Vec::new();
    for site in &settings.config.sites {
        let mut standing = Standing::of(site, overview.as_ref());
        standing.last = LastPass::read(settings.state_dir(), &site.name);
        if let (Some(spool), Some(state)) = (&spool, standing.state) {
            standing.day = Some(
                HourlyCounts::committed(spool, &state.id, now)
                    .await?
                    .until(now),
            );
        }
        sites.push(standing);
    }
    if as_json {
        let sites: Vec<Value> = sites.iter().map(|site| site.json(now)).collect();
        return say(&json_of(&settings, &sites, overview.as_ref()).to_string());
    }
    let mut text: Vec<String> = sites.iter().flat_map(|site| site.text(now)).collect();
    match &overview {
        Some(overview) => text.extend(text_of(overview)),
        None => text.push(format!(
            "there is no state in {} yet: nothing was ever fetched",
            printable(&settings.state_dir().display().to_string(), 4096)
        )),
    }
    say(&text.join("\n"))
}

/// What is known of one configured site.
struct Standing<'a> {
    config: &'a SiteConfig,
    /// `None` when it was never read.
    state: Option<&'a SiteOverview>,
    /// `None` when it is not read by consent.
    consent: Option<Result<Stored, confluence_audit_collector::Error>>,
    /// How its last pass ended.
    last: Option<LastPass>,
    /// How many records each hour of the last day brought.
    day: Option<[u32; 24]>,
}

impl<'a> Standing<'a> {
    fn of(config: &'a SiteConfig, overview: Option<&'a Overview>) -> Self {
        let is_it = |site: &&SiteOverview| match &config.address {
            Address::CloudId(id) => site.id.as_str() == id.as_str(),
            Address::Url(url) => site.addresses.contains(&url.to_string()),
        };
        let consent = match &config.auth {
            AuthConfig::Oauth { token_file } => Some(TokenFile::new(token_file).look()),
            _ => None,
        };
        Self {
            config,
            state: overview.and_then(|overview| overview.sites.iter().find(is_it)),
            consent,
            last: None,
            day: None,
        }
    }

    fn watermark(&self) -> Option<Timestamp> {
        self.state?.state.watermark
    }

    /// When the site was last read to its end: every pass ends with the shortest step of the
    /// schedule at least.
    fn last_pass(&self) -> Option<Timestamp> {
        self.state?.state.rereads.iter().map(|(_, at)| *at).max()
    }

    fn text(&self, now: Timestamp) -> Vec<String> {
        let id = self.state.map(|site| format!(" ({})", site.id));
        let site = format!("site {}{}", self.config.name, id.unwrap_or_default());
        let mut text = vec![printable(&site, 400)];
        text.push(match self.watermark() {
            Some(at) => format!("  read up to {at}, {} ago", span(at, now)),
            None => "  never read".to_owned(),
        });
        if let Some(at) = self.last_pass() {
            text.push(format!("  last pass {} ago ({at})", span(at, now)));
        }
        if let Some(last) = &self.last {
            text.extend(told(last, now));
        }
        if let Some(day) = self.day {
            let all: u32 = day.iter().fold(0, |sum, hour| sum.saturating_add(*hour));
            let plot = plot(&day);
            text.push(format!(
                "  records an hour, last day: {plot} ({all} in all)"
            ));
        }
        match &self.consent {
            None => {}
            Some(Ok(kept)) => {
                text.push(format!(
                    "  consent of {} lasts until {}, unused until {}",
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

    fn json(&self, now: Timestamp) -> Value {
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let seconds = |at: Option<Timestamp>| at.map(|at| now.since(at).as_secs());
        let consent = self.consent.as_ref().map(|consent| match consent {
            Ok(kept) => json!({
                "given_at": kept.consent.given_at.to_string(),
                "ends": kept.ends().to_string(),
                "ends_unused": kept.ends_unused().min(kept.ends()).to_string(),
                "warning": kept.warning(now),
            }),
            Err(error) => json!({"error": error.to_string()}),
        });
        json!({
            "name": self.config.name,
            "id": self.state.map(|site| site.id.as_str()),
            "watermark": time(self.watermark()),
            // While a log is silent its watermark stands still, and nobody is behind.
            "lag_seconds": seconds(self.watermark().max(self.last_pass())),
            "last_pass": time(self.last_pass()),
            "seconds_since_last_pass": seconds(self.last_pass()),
            "consent": consent,
            "last_error": self.last.as_ref().and_then(|last| last.error.as_ref()),
            "last_error_at": self.last.as_ref().filter(|last| last.error.is_some())
                .map(|last| last.ended().to_string()),
            "late": self.last.as_ref().map(|last| last.late),
            "late_by_ms": self.last.as_ref().map(|last| last.late_by_ms),
            "records_an_hour": self.day,
        })
    }
}

/// What is worth telling of the last pass and those before it.
fn told(last: &LastPass, now: Timestamp) -> Vec<String> {
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
            "  {late} of {records} records came late, by {by} at most"
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
        "spool: {} waiting, {} on disk",
        waiting(overview.depth),
        show_size(overview.size)
    )];
    text.extend(overview.outputs.iter().map(|output| {
        let name = printable(output.name.as_str(), 4096);
        format!("output {name}: {} waiting", waiting(output.waiting))
    }));
    text
}

fn json_of(settings: &Settings, sites: &[Value], overview: Option<&Overview>) -> Value {
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
        "state_dir": settings.state_dir().display().to_string(),
        "sites": sites,
        "spool": spool,
        "outputs": outputs.collect::<Vec<_>>(),
    })
}
