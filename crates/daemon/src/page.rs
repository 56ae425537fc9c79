//! Status page: how everything stands, at a glance, on a phone or on a wall.
//!
//! HTML without scripts, by maud, which escapes every value. What comes from a site, a record or an
//! error goes through [`printable`] besides; each state has a word and a sign beside its colour.

mod plot;
mod words;

use std::fmt::Write as _;
use std::time::Duration;

use confluence_audit_collector::config::show_size;
use confluence_audit_collector::metrics::Lateness;
use confluence_audit_collector::schedule::Health;
use confluence_audit_core::{Timestamp, printable};
use maud::{DOCTYPE, Markup, Render, html};

use self::plot::plot;
use self::words::{ago, grouped, instant, long, soon};
use crate::view::{OutputView, SiteView, View};
use crate::watch::LastError;

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
        let status = &site.status;
        let consent = status.consent.as_ref();
        let last = status.last_success;
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

    /// Its sign, its word, and its class in the style.
    fn label(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Quarantined => ("✕", "suspended", "bad"),
            Self::Failing => ("!", "failing", "worse"),
            Self::Expiring => ("!", "authorization expires", "worse"),
            Self::Late => ("!", "late", "worse"),
            Self::New => ("…", "not read yet", "new"),
            Self::Well => ("✓", "healthy", "good"),
        }
    }
}

/// The page. It asks for itself again now and then, unless it shall stay as it is.
pub(crate) fn html(view: &View, refreshes: bool) -> Markup {
    let mut sites: Vec<(State, &SiteView)> = view
        .sites
        .iter()
        .map(|site| (State::of(site, view.now), site))
        .collect();
    // What needs somebody comes first.
    sites.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    let (class, verdict) = verdict(view, &sites);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if refreshes { meta http-equiv="refresh" content=(REFRESH); }
                title { (verdict) " – confluence-audit" }
                link rel="stylesheet" href=(STYLE_PATH);
            }
            body {
                header {
                    p.program { "confluence-audit" }
                    h1 class=(class) { (verdict) }
                    p.soft { (totals(view)) }
                }
                main {
                    (notices(view))
                    (sites_section(&sites, view.now))
                    (outputs_section(view))
                }
                (footer(view, refreshes))
            }
        }
    }
}

fn footer(view: &View, refreshes: bool) -> Markup {
    html! {
        footer {
            p {
                "As of " (instant(view.now)) ". "
                @if refreshes {
                    "Refreshes every " (REFRESH) " seconds. "
                    a href={ "/?" (STILL) } { "Pause refresh" }
                } @else {
                    "Refresh is paused. " a href="/" { "Resume refresh" }
                }
            }
            p {
                "Version " (env!("CARGO_PKG_VERSION"))
                ", running for " (long(view.now.since(view.began_at))) ". "
                a href="/metrics" { "Metrics" }
            }
        }
    }
}

/// The one sentence that somebody who walks by has to read.
fn verdict(view: &View, sites: &[(State, &SiteView)]) -> (&'static str, String) {
    let count = |state| sites.iter().filter(|(is, _)| *is == state).count();
    let all = sites.len();
    let needs = count(State::Quarantined) + count(State::Expiring);
    let failing = count(State::Failing) + count(State::Late);
    let broken = view
        .outputs
        .iter()
        .filter(|it| it.failure.is_some())
        .count();
    let of = |n: usize, what: &str, one: &str, many: &str| {
        let (s, verb) = if n == 1 { ("", one) } else { ("s", many) };
        format!("{n} {what}{s} {verb}")
    };
    if needs > 0 {
        (
            "bad",
            of(needs, "site", "needs attention", "need attention"),
        )
    } else if broken > 0 {
        ("bad", of(broken, "output", "is failing", "are failing"))
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
        ("good", "Healthy".to_owned())
    } else {
        ("good", format!("All {all} sites are healthy"))
    }
}

fn totals(view: &View) -> String {
    let day: u64 = view
        .sites
        .iter()
        .flat_map(|site| site.status.hours.until(view.now))
        .map(u64::from)
        .sum();
    let mut text = format!("{} records in the last 24 hours", grouped(day));
    if let Some(spool) = &view.spool {
        let _ = match spool.depth.records {
            0 => write!(text, " · no backlog"),
            records => write!(
                text,
                " · backlog {} records ({} of {})",
                grouped(records),
                show_size(spool.depth.bytes),
                show_size(spool.limit)
            ),
        };
    }
    text
}

/// What concerns everything.
fn notices(view: &View) -> Markup {
    html! {
        @if let Some(refused) = &view.refused {
            section.notice aria-label="Configuration" {
                h2 { "The configuration that was read last is refused" }
                p { "The one before it is in use." }
                (last_error(refused, view.now))
            }
        }
        @if view.spool.as_ref().is_some_and(|spool| spool.is_full) {
            section.notice aria-label="Spool" {
                h2 { "The spool is full" }
                p {
                    "As much waits for outputs as may: nothing more is read until they take some \
                     of it. Nothing is lost for as long as the sites keep their records."
                }
            }
        }
    }
}

fn sites_section(sites: &[(State, &SiteView)], now: Timestamp) -> Markup {
    html! {
        section aria-labelledby="sites" {
            h2 id="sites" { "Sites" }
            ul.sites {
                @for (state, site) in sites.iter().take(MOST) { (site_item(*state, site, now)) }
            }
            @if let Some(more) = sites.len().checked_sub(MOST).filter(|more| *more > 0) {
                p.soft {
                    "And " (grouped(more as u64)) " more, which stand no worse; all are in the \
                     metrics."
                }
            }
        }
    }
}

fn site_item(state: State, site: &SiteView, now: Timestamp) -> Markup {
    let status = &site.status;
    let day = status.hours.until(now);
    let total: u64 = day.iter().copied().map(u64::from).sum();
    let (_, _, class) = state.label();
    html! {
        li class=(class) {
            (heading(&printable(&site.name, 200), state.label()))
            div.day { (plot(&day, now)) }
            dl {
                (fact("Lag", lag(site, now)))
                (fact("Last success", ago(status.last_success, now)))
                (fact("Next run", next(site)))
                (fact("24 hours", grouped(total)))
                (fact("Late arrivals", late(&site.counters.late())))
                @if let Some(consent) = &status.consent {
                    (fact("Authorization expires", consent_ends(consent.ends, now)))
                }
            }
            @if let Some(error) = &status.last_error { (last_error(error, now)) }
            @if let Some(warning) = status.consent.as_ref().and_then(|it| it.warning.as_ref()) {
                div.trouble { p { (printable(warning, 1000)) } }
            }
        }
    }
}

/// The name of a site or an output, and in what state that is: sign, word and class.
fn heading(name: &str, (sign, word, _): (&str, &str, &str)) -> Markup {
    html! {
        div.who {
            h3 { (name) }
            p.state { span aria-hidden="true" { (sign) } " " (word) }
        }
    }
}

fn fact(term: &str, value: impl Render) -> Markup {
    html! { div { dt { (term) } dd { (value) } } }
}

fn lag(site: &SiteView, now: Timestamp) -> Markup {
    let status = &site.status;
    html! {
        // While a log is silent its watermark stands still, and nobody is behind.
        @if let Some(at) = status.read_until().max(status.last_success) {
            time datetime=(at) title={ "read up to " (at) } { (long(now.since(at))) }
        } @else { "–" }
    }
}

fn consent_ends(at: Timestamp, now: Timestamp) -> Markup {
    html! {
        time datetime=(at) title=(at) {
            @if at <= now { "ended" } @else { "in " (long(at.since(now))) }
        }
    }
}

fn next(site: &SiteView) -> String {
    match (site.status.since, site.next) {
        (Some(_), _) => "under way".to_owned(),
        (None, Some(next)) => soon(next),
        (None, None) => "–".to_owned(),
    }
}

/// How many records arrived late, and how late they were.
fn late(late: &Lateness) -> Markup {
    let count = late.count();
    // The bucket that holds the latest.
    let latest = late.cumulative().find(|(_, upto)| *upto == count);
    html! {
        @if count == 0 { "none" } @else {
            (grouped(count)) " "
            small {
                @match latest.and_then(|(bound, _)| bound) {
                    Some(bound) => { "within " (long(Duration::from_secs(bound))) }
                    None => { "beyond 7 days" }
                }
            }
        }
    }
}

fn last_error(error: &LastError, now: Timestamp) -> Markup {
    let since = ago(Some(error.at), now);
    failure(&error.message, &error.remedy, Some(since))
}

/// What went wrong, when, and what to do about it.
fn failure(message: &str, remedy: &str, when: Option<Markup>) -> Markup {
    html! {
        div.trouble {
            p {
                (printable(message, 2000))
                @if let Some(when) = when { " " span.soft { (when) } }
            }
            p.remedy { strong { "What to do:" } " " (printable(remedy, 2000)) }
        }
    }
}

fn outputs_section(view: &View) -> Markup {
    let mut outputs: Vec<&OutputView> = view.outputs.iter().collect();
    outputs.sort_by_key(|output| {
        (
            output.failure.is_none(),
            output.figures.waiting.records == 0,
        )
    });
    html! {
        section aria-labelledby="outputs" {
            h2 id="outputs" { "Outputs" }
            ul.outputs {
                @for output in outputs.iter().take(MOST) { (output_item(output)) }
            }
        }
    }
}

fn output_item(output: &OutputView) -> Markup {
    let figures = &output.figures;
    let counters = &figures.counters;
    let label = match (&output.failure, figures.waiting.records) {
        (Some(_), _) => ("✕", "failing", "bad"),
        (None, 0) => ("✓", "up to date", "good"),
        (None, _) => ("…", "catching up", "new"),
    };
    let (_, _, class) = label;
    let waiting = html! {
        @if figures.waiting.records == 0 { "nothing" } @else {
            (grouped(figures.waiting.records)) " " small { (show_size(figures.waiting.bytes)) }
        }
    };
    html! {
        li class=(class) {
            (heading(&printable(&output.display_name, 500), label))
            dl {
                (fact("Backlog", waiting))
                (fact("Oldest", figures.oldest.map_or("–".to_owned(), long)))
                (fact("Delivered", grouped(counters.records.get())))
                (fact("Failures", grouped(counters.failures.get())))
                (fact("Refused", grouped(counters.dead_letters.get())))
                (fact("Mapping errors", grouped(counters.unfit.get())))
            }
            @if let Some(failed) = &output.failure {
                (failure(&failed.message, &failed.remedy, None))
            }
        }
    }
}

#[cfg(test)]
mod tests;
