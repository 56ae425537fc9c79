//! Result of the set-up: how long it lasts, how to collect with it, and the configuration to use.

use std::io::{self, Write as _};
use std::path::Path;

use confluence_audit_collector::credentials::token_file::{Stored, day};
use confluence_audit_collector::{Error, ErrorKind, Result};
use confluence_audit_core::Origin;

use crate::args::Args;
use crate::terminal::say;

/// Says it, and prints the configuration to standard output.
///
/// # Errors
/// [`Io`](ErrorKind::Io) when that fails.
pub(crate) fn print(args: &Args, kept: &Stored, file: &Path) -> Result<()> {
    let shown = file.display();
    say(&format!(
        "The consent is kept in {shown}. It lasts until {}, and no longer than 90 days without \
         use.\n\nCollect with it:\n\n  confluence-audit fetch --oauth-token-file {shown}{}{}\n\n\
         or with this in the configuration file:\n",
        day(kept.ends()),
        flag("--api-url", args.api_url.as_ref()),
        flag("--auth-url", args.auth_url.as_ref()),
    ));
    let written = io::stdout().write_all(configuration(args, kept, file).as_bytes());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::new(
            ErrorKind::Io,
            "writing to standard output failed",
            "The consent is kept all the same.",
        )
        .with_source(error)),
        _ => Ok(()),
    }
}

fn configuration(args: &Args, kept: &Stored, file: &Path) -> String {
    let text = |value: &str| toml::Value::from(value).to_string();
    let pair = |key: &str, value: &str| format!("{key} = {}", text(value));
    let site = &kept.consent.site;
    let mut lines = vec![
        "[[site]]".to_owned(),
        pair("name", &site.name()),
        pair("cloud_id", site.cloud_id.as_str()),
    ];
    for (key, origin) in [("api_url", &args.api_url), ("auth_url", &args.auth_url)] {
        lines.extend(origin.as_ref().map(|origin| pair(key, &origin.to_string())));
    }
    let file = pair("token_file", &file.display().to_string());
    lines.push(format!("auth = {{ kind = \"oauth\", {file} }}\n"));
    lines.join("\n")
}

fn flag(name: &str, origin: Option<&Origin>) -> String {
    origin.map_or(String::new(), |origin| format!(" {name} {origin}"))
}
