//! The status page: how everything stands, at a glance, on a phone or on a wall.
//!
//! One text without scripts. Everything that comes from a site, a record or an error goes through
//! [`words::escaped`]; each state has a word and a sign beside its colour.

mod plot;
mod words;

use std::fmt::Write as _;
use std::time::Duration;

use confluence_audit_collector::config::show_size;
use confluence_audit_collector::schedule::Health;
use confluence_audit_core::Timestamp;

use self::plot::plot;
use self::words::{ago, escaped, grouped, instant, long, soon};
use crate::view::{OutputView, SiteView, View};
use crate::watch::Trouble;

pub(crate) const CONTENT_TYPE: &str = "text/html; charset=utf-8";
pub(crate) const STYLE_PATH: &str = "/style.css";
pub(crate) const STYLE: &str = include_str!("page/style.css");

/// The query that asks for a page that stays as it is.
pub(crate) const STILL: &str = "refresh=off";

/// So many sites that are well are shown; beyond that they are counted.
const MOST: usize = 1000;

/// In seconds.
const REFRESH: u32 = 30;

/// How a site stands, as it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Quarantined,
    Failing,
    Expiring,
    Late,
    New,
    Well,
}

impl State {
    fn of(site: &SiteView, now: Timestamp) -> Self {
        let notes = &site.notes;
        let consent = notes.consent.as_ref();
        let last = notes.last_success;
        match site.health() {
            health if health.is_quarantined() => Self::Quarantined,
            Health::Failing { .. } => Self::Failing,
            _ if consent.is_some_and(|it| it.warning.is_some()) => Self::Expiring,
            Health::New => Self::New,
            Health::Well if last.is_some_and(|at| now.since(at) > 3 * site.interval()) => {
                Self::Late
            }
            Health::Well => Self::Well,
        }
    }

    /// Its sign, its word, and how the style calls it.
    fn shown(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Quarantined => ("✕", "in quarantine", "bad"),
            Self::Failing => ("!", "failing", "worse"),
            Self::Expiring => ("!", "consent ends", "worse"),
            Self::Late => ("!", "late", "worse"),
            Self::New => ("…", "not read yet", "new"),
            Self::Well => ("✓", "well", "good"),
        }
    }
}

/// The page. It asks for itself again now and then, unless it shall stay as it is.
pub(crate) fn html(view: &View, refreshes: bool) -> String {
    let mut sites: Vec<(State, &SiteView)> = view
        .sites
        .iter()
        .map(|site| (State::of(site, view.now), site))
        .collect();
    // What needs somebody comes first.
    sites.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    let (class, verdict) = verdict(view, &sites);
    let mut page = String::with_capacity(4_096 + 3_000 * sites.len());
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n{}\
         <title>{verdict} – confluence-audit</title>\n\
         <link rel=\"stylesheet\" href=\"{STYLE_PATH}\">\n</head>\n<body>\n\
         <header>\n<p class=\"program\">confluence-audit</p>\n\
         <h1 class=\"{class}\">{verdict}</h1>\n<p class=\"soft\">{}</p>\n</header>\n<main>\n",
        if refreshes {
            format!("<meta http-equiv=\"refresh\" content=\"{REFRESH}\">\n")
        } else {
            String::new()
        },
        totals(view),
    );
    notices(&mut page, view);
    write_sites(&mut page, view, &sites);
    write_outputs(&mut page, view);
    let still = if refreshes {
        format!("It is renewed every {REFRESH} seconds. <a href=\"/?{STILL}\">Hold it still</a>")
    } else {
        "It stays as it is. <a href=\"/\">Renew it</a>".to_owned()
    };
    let _ = write!(
        page,
        "</main>\n<footer>\n<p>This page is of {}. {still}</p>\n\
         <p>Version {}, running for {}. <a href=\"/metrics\">Metrics</a></p>\n</footer>\n\
         </body>\n</html>\n",
        instant(view.now),
        env!("CARGO_PKG_VERSION"),
        long(view.now.since(view.began_at)),
    );
    page
}

/// The one sentence that somebody who walks by has to read.
fn verdict(view: &View, sites: &[(State, &SiteView)]) -> (&'static str, String) {
    let count = |state| sites.iter().filter(|(its, _)| *its == state).count();
    let all = sites.len();
    let needs = count(State::Quarantined) + count(State::Expiring);
    let failing = count(State::Failing) + count(State::Late);
    let broken = view.outputs.iter().filter(|it| it.trouble.is_some());
    let broken = broken.count();
    let of = |n: usize, what: &str, one: &str, many: &str| {
        let (s, verb) = if n == 1 { ("", one) } else { ("s", many) };
        format!("{n} {what}{s} {verb}")
    };
    if needs > 0 {
        ("bad", of(needs, "site", "needs you", "need you"))
    } else if broken > 0 {
        ("bad", of(broken, "output", "takes nothing", "take nothing"))
    } else if view.spool.as_ref().is_some_and(|spool| spool.is_full) {
        ("bad", "The spool is full".to_owned())
    } else if failing > 0 {
        ("worse", of(failing, "site", "is failing", "are failing"))
    } else if view.refused.is_some() {
        ("worse", "The new configuration is refused".to_owned())
    } else if count(State::New) == all {
        ("new", "The first reading is under way".to_owned())
    } else if count(State::New) > 0 {
        let new = count(State::New);
        (
            "new",
            of(new, "site", "is not read yet", "are not read yet"),
        )
    } else if all == 1 {
        ("good", "All is well".to_owned())
    } else {
        ("good", format!("All {all} sites are well"))
    }
}

fn totals(view: &View) -> String {
    let day: u64 = view
        .sites
        .iter()
        .flat_map(|site| site.notes.counted().hours.until(view.now))
        .map(u64::from)
        .sum();
    let mut text = format!("{} records in the last 24 hours", grouped(day));
    if let Some(spool) = &view.spool {
        let _ = match spool.depth.records {
            0 => write!(text, " · nothing waits for outputs"),
            records => write!(
                text,
                " · {} records ({} of {}) wait for outputs",
                grouped(records),
                show_size(spool.depth.bytes),
                show_size(spool.limit)
            ),
        };
    }
    text
}

/// What concerns everything.
fn notices(page: &mut String, view: &View) {
    if let Some(refused) = &view.refused {
        let _ = write!(
            page,
            "<section class=\"notice\" aria-label=\"Configuration\">\n<h2>The configuration that \
             was read last is refused</h2>\n<p>The one before it is in use.</p>\n{}</section>\n",
            trouble(refused, view.now)
        );
    }
    if view.spool.as_ref().is_some_and(|spool| spool.is_full) {
        page.push_str(
            "<section class=\"notice\" aria-label=\"Spool\">\n<h2>The spool is full</h2>\n\
             <p>As much waits for outputs as may: nothing more is read until they take some of it. \
             Nothing is lost for as long as the sites keep their records.</p>\n</section>\n",
        );
    }
}

fn write_sites(page: &mut String, view: &View, sites: &[(State, &SiteView)]) {
    page.push_str(
        "<section aria-labelledby=\"sites\">\n<h2 id=\"sites\">Sites</h2>\n<ul class=\"sites\">\n",
    );
    for (state, site) in sites.iter().take(MOST) {
        write_site(page, *state, site, view.now);
    }
    page.push_str("</ul>\n");
    if let Some(more) = sites.len().checked_sub(MOST).filter(|more| *more > 0) {
        let _ = writeln!(
            page,
            "<p class=\"soft\">And {} more, which stand no worse; all are in the metrics.</p>",
            grouped(more as u64)
        );
    }
    page.push_str("</section>\n");
}

fn write_site(page: &mut String, state: State, site: &SiteView, now: Timestamp) {
    let (notes, counted) = (&site.notes, site.notes.counted());
    let (sign, word, class) = state.shown();
    let day = counted.hours.until(now);
    let total: u64 = day.iter().copied().map(u64::from).sum();
    let name = escaped(&site.name, 200);
    let _ = write!(
        page,
        "<li class=\"{class}\">\n<div class=\"who\"><h3>{name}</h3>\n\
         <p class=\"state\"><span aria-hidden=\"true\">{sign}</span> {word}</p></div>\n\
         <div class=\"day\">{}</div>\n<dl>\n",
        plot(&day, now)
    );
    let mut fact = |term: &str, value: &str| {
        let _ = writeln!(page, "<div><dt>{term}</dt><dd>{value}</dd></div>");
    };
    fact(
        "Lag",
        // While a log is silent its watermark stands still, and nobody is behind.
        &match notes.read_until().max(notes.last_success) {
            Some(at) => format!(
                "<time datetime=\"{at}\" title=\"read up to {at}\">{}</time>",
                long(now.since(at))
            ),
            None => "–".to_owned(),
        },
    );
    fact("Last success", &ago(notes.last_success, now));
    fact("Next pass", &next(site));
    fact("24 hours", &grouped(total));
    fact("Late", &late(&counted.late));
    if let Some(consent) = &notes.consent {
        let left = if consent.ends <= now {
            "ended".to_owned()
        } else {
            format!("in {}", long(consent.ends.since(now)))
        };
        let at = consent.ends;
        fact(
            "Consent ends",
            &format!("<time datetime=\"{at}\" title=\"{at}\">{left}</time>"),
        );
    }
    page.push_str("</dl>\n");
    if let Some(its) = &notes.trouble {
        page.push_str(&trouble(its, now));
    }
    if let Some(warning) = notes.consent.as_ref().and_then(|it| it.warning.as_ref()) {
        let warning = escaped(warning, 1000);
        let _ = writeln!(page, "<div class=\"trouble\"><p>{warning}</p></div>");
    }
    page.push_str("</li>\n");
}

fn next(site: &SiteView) -> String {
    match (site.notes.since, site.next) {
        (Some(_), _) => "under way".to_owned(),
        (None, Some(next)) => soon(next),
        (None, None) => "–".to_owned(),
    }
}

/// How many records arrived late, and how late they were.
fn late(late: &confluence_audit_collector::metrics::Lateness) -> String {
    let count = late.count();
    if count == 0 {
        return "none".to_owned();
    }
    // The bucket that holds the latest.
    let latest = late.cumulative().find(|(_, upto)| *upto == count);
    let latest = match latest.and_then(|(bound, _)| bound) {
        Some(bound) => format!("within {}", long(Duration::from_secs(bound))),
        None => "beyond 7 days".to_owned(),
    };
    format!("{} <small>{latest}</small>", grouped(count))
}

fn trouble(trouble: &Trouble, now: Timestamp) -> String {
    format!(
        "<div class=\"trouble\">\n<p>{} <span class=\"soft\">{}</span></p>\n\
         <p class=\"remedy\"><strong>What to do:</strong> {}</p>\n</div>\n",
        escaped(&trouble.message, 2000),
        ago(Some(trouble.at), now),
        escaped(&trouble.remedy, 2000)
    )
}

fn write_outputs(page: &mut String, view: &View) {
    page.push_str(
        "<section aria-labelledby=\"outputs\">\n<h2 id=\"outputs\">Outputs</h2>\n\
         <ul class=\"outputs\">\n",
    );
    let mut outputs: Vec<&OutputView> = view.outputs.iter().collect();
    outputs.sort_by_key(|output| {
        (
            output.trouble.is_none(),
            output.figures.waiting.records == 0,
        )
    });
    for output in outputs.iter().take(MOST) {
        write_output(page, output);
    }
    page.push_str("</ul>\n</section>\n");
}

fn write_output(page: &mut String, output: &OutputView) {
    let figures = &output.figures;
    let (class, sign, word) = match (&output.trouble, figures.waiting.records) {
        (Some(_), _) => ("bad", "✕", "takes nothing"),
        (None, 0) => ("good", "✓", "has everything"),
        (None, _) => ("new", "…", "catching up"),
    };
    let shown = escaped(&output.shown, 500);
    let _ = write!(
        page,
        "<li class=\"{class}\">\n<div class=\"who\"><h3>{shown}</h3>\n\
         <p class=\"state\"><span aria-hidden=\"true\">{sign}</span> {word}</p></div>\n<dl>\n"
    );
    let mut fact = |term: &str, value: &str| {
        let _ = writeln!(page, "<div><dt>{term}</dt><dd>{value}</dd></div>");
    };
    let waiting = match figures.waiting.records {
        0 => "nothing".to_owned(),
        records => format!(
            "{} <small>{}</small>",
            grouped(records),
            show_size(figures.waiting.bytes)
        ),
    };
    fact("Waiting", &waiting);
    fact("For", &figures.oldest.map_or("–".to_owned(), long));
    fact("Delivered", &grouped(figures.records));
    fact("Failures", &grouped(figures.failures));
    fact("Refused", &grouped(figures.dead_letters));
    fact("Unfit", &grouped(figures.unfit));
    page.push_str("</dl>\n");
    if let Some((message, remedy)) = &output.trouble {
        let _ = write!(
            page,
            "<div class=\"trouble\">\n<p>{}</p>\n\
             <p class=\"remedy\"><strong>What to do:</strong> {}</p>\n</div>\n",
            escaped(message, 2000),
            escaped(remedy, 2000)
        );
    }
    page.push_str("</li>\n");
}

#[cfg(test)]
mod tests;
