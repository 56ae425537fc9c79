//! `sites`: what the credentials reach.

use std::io::{self, Write as _};

use confluence_audit_collector::Error;
use confluence_audit_collector::config::AuthConfig;
use confluence_audit_collector::credentials::TokenFile;
use confluence_audit_collector::credentials::token_file::day;
use confluence_audit_collector::site::{api, authenticator, connect};
use confluence_audit_core::{accessible_resources, printable};

use crate::args::SiteArgs;
use crate::report::Failure;
use crate::settings::Settings;

pub(crate) async fn run(site_args: &SiteArgs) -> Result<(), Failure> {
    let settings = Settings::read(site_args)?;
    let credentials = settings.credentials_dir.as_deref();
    let mut rows = Vec::new();
    for site in &settings.config.sites {
        if matches!(site.auth, AuthConfig::ApiToken { .. }) {
            // An API token cannot be asked which sites it reaches; its own site can be found.
            let found = connect(&settings.http, site, credentials).await?;
            rows.push([
                found.id.to_string(),
                site.name.clone(),
                String::new(),
                "by its token".into(),
                String::new(),
            ]);
            continue;
        }
        let until = match &site.auth {
            AuthConfig::Oauth { token_file } => {
                let kept = TokenFile::new(token_file).look()?;
                day(kept.ends_unused().min(kept.ends()))
            }
            _ => String::new(),
        };
        let auth = authenticator(&settings.http, site, credentials)?;
        let reached = accessible_resources(&settings.http, &api(site)?, &*auth).await;
        for reached in reached.map_err(|error| Error::service(&site.name, error))? {
            let scope = if reached.has_audit_scope() {
                "granted"
            } else {
                "missing"
            };
            rows.push([
                reached.id.to_string(),
                reached.name,
                reached.url,
                scope.into(),
                until.clone(),
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
