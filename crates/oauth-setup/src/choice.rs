//! Site selection: which of the sites that a consent reaches is collected.

use confluence_audit_collector::{Error, ErrorKind, Result};
use confluence_audit_core::{Origin, Site};

use crate::remedy::{missing_scope, no_site, shown};
use crate::terminal::{Lines, say};

/// The site that `wanted` names, else the only one whose audit log may be read, else the one that
/// the person chooses.
pub(crate) async fn choose(
    sites: Vec<Site>,
    wanted: Option<&str>,
    lines: &mut Lines,
) -> Result<Site> {
    if sites.is_empty() {
        return Err(no_site());
    }
    if let Some(wanted) = wanted {
        let all = listed(&sites);
        let named = sites.into_iter().find(|site| is(site, wanted));
        let site = named.ok_or_else(|| {
            Error::new(
                ErrorKind::Config,
                format!("the consent does not reach the site {wanted}"),
                format!("Name one that it reaches, or choose that site on the page: {all}."),
            )
        })?;
        return if site.has_audit_scope() {
            Ok(site)
        } else {
            Err(missing_scope(&shown(&site)))
        };
    }
    let (mut fit, unfit): (Vec<Site>, Vec<Site>) =
        sites.into_iter().partition(Site::has_audit_scope);
    match fit.len() {
        0 => Err(missing_scope(&listed(&unfit))),
        1 => Ok(fit.remove(0)),
        _ => ask(fit, lines).await,
    }
}

async fn ask(mut sites: Vec<Site>, lines: &mut Lines) -> Result<Site> {
    say("\nThe consent reaches several sites:");
    for (number, site) in (1..).zip(&sites) {
        say(&format!("  {number}  {}  {}", shown(site), site.id));
    }
    loop {
        say(&format!(
            "Which one is collected? Type 1 to {}:",
            sites.len()
        ));
        let Some(line) = lines.next().await else {
            return Err(Error::new(
                ErrorKind::Config,
                "the consent reaches several sites, and none was chosen",
                format!("Name one with --site: {}.", listed(&sites)),
            ));
        };
        let number = line.parse().ok().filter(|n| (1..=sites.len()).contains(n));
        if let Some(number) = number {
            return Ok(sites.swap_remove(number - 1));
        }
        if let Some(site) = sites.iter().position(|site| is(site, &line)) {
            return Ok(sites.swap_remove(site));
        }
    }
}

/// Whether a person means this site by its id, its address or its name.
fn is(site: &Site, wanted: &str) -> bool {
    let same_address = || {
        let wanted = Origin::parse(wanted).ok()?;
        Some(wanted == Origin::parse(&site.url).ok()?)
    };
    site.id.as_str() == wanted || site.name == wanted || same_address().unwrap_or(false)
}

fn listed(sites: &[Site]) -> String {
    let sites: Vec<String> = sites.iter().map(shown).collect();
    sites.join(", ")
}
