//! `sites`: the sites that the credentials reach.

use std::io::{self, Write as _};

use confluence_audit_collector::credentials::token_file::day;
use confluence_audit_core::printable;

use crate::options::SiteArgs;
use crate::report::Failure;
use crate::settings;

pub(crate) async fn run(site_args: &SiteArgs) -> Result<(), Failure> {
    let setup = settings::read(site_args)?;
    let mut rows = Vec::new();
    for site in &setup.config.sites {
        for reached in setup.sites.reachable(site).await? {
            let scope = match reached.has_scope {
                Some(true) => "granted",
                Some(false) => "missing",
                None => "by its token",
            };
            rows.push([
                reached.id,
                reached.name,
                reached.url.unwrap_or_default(),
                scope.to_owned(),
                reached.until.map(day).unwrap_or_default(),
            ]);
        }
    }
    print(&rows).map_err(Failure::stdout)
}

fn print(rows: &[[String; 5]]) -> io::Result<()> {
    let header = ["CLOUD ID", "NAME", "URL", "AUDIT SCOPE", "CONSENT ENDS"].map(String::from);
    let rows: Vec<[String; 5]> = std::iter::once(&header)
        .chain(rows)
        .map(|row| row.clone().map(|cell| printable(&cell, 80)))
        .collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths = [width(0), width(1), width(2), width(3)];
    let mut out = io::stdout().lock();
    for [id, name, url, scope, until] in &rows {
        let line = format!(
            "{id:0$}  {name:1$}  {url:2$}  {scope:3$}  {until}",
            widths[0], widths[1], widths[2], widths[3]
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
