//! `generate config`: the configuration file with every setting explained. What flags and
//! environment say is filled in; the rest is an example.

use std::path::Path;

use confluence_audit_collector::{Config, Error, ErrorKind, Result};

use super::lines::Lines;
use crate::options::SiteArgs;
use crate::settings;
use confluence_audit_collector::host::checked;

/// Where a host has it.
pub(super) const PATH: &str = "etc/confluence-audit/config.toml";

const TEMPLATE: &str = include_str!("../../../../packaging/config.toml");

/// The file's text. It is read back, so that what is printed can be used.
pub(super) fn filled(args: &SiteArgs, output: Option<&Path>) -> Result<String> {
    let mut lines = Lines::toml(TEMPLATE);
    if let Some(dir) = &args.state_dir {
        lines.set("[state]", "dir", &quoted_path(dir)?)?;
    }
    fill_site(&mut lines, args)?;
    if let Some(output) = output {
        lines.set("[[output]]", "path", &quoted_path(output)?)?;
    }
    let text = lines.text();
    Config::from_toml(&text, "what the flags make")?;
    Ok(text)
}

fn fill_site(lines: &mut Lines, args: &SiteArgs) -> Result<()> {
    const SITE: &str = "[[site]]";
    let mut name = "acme".to_owned();
    if let Some(address) = settings::named(args)? {
        name = settings::name(&address).replace(['[', ']', ':'], "_");
        lines.set(SITE, "name", &quoted(&name))?;
    }
    if let Some(id) = &args.cloud_id {
        lines.unset(SITE, "url");
        lines.set(SITE, "cloud_id", &quoted(id))?;
    } else if let Some(url) = &args.site_url {
        lines.set(SITE, "url", &quoted(url))?;
    }
    for (key, url) in [("api_url", &args.api_url), ("auth_url", &args.auth_url)] {
        if let Some(url) = url {
            lines.set(SITE, key, &quoted(url))?;
        }
    }
    if let Some(auth) = auth(args, &name)? {
        lines.unset(SITE, "auth");
        let kind = format!("kind = {}", quoted(auth.kind));
        lines.set_where(SITE, "auth", &auth.table, &kind)?;
    }
    Ok(())
}

struct Auth {
    kind: &'static str,
    table: String,
}

/// How to sign in, as flags and environment say it: of one kind, or none.
fn auth(args: &SiteArgs, name: &str) -> Result<Option<Auth>> {
    let by_token = args.email.is_some() || args.api_token_file.is_some() || args.unscoped;
    let by_client = args.client_id.is_some() || args.client_secret_file.is_some();
    let kinds = [by_token, by_client, args.oauth_token_file.is_some()];
    if kinds.iter().filter(|given| **given).count() > 1 {
        return Err(Error::new(
            ErrorKind::Config,
            "credentials of more than one kind are given",
            "Give an API token (--email, --api-token-file), a consent (--oauth-token-file) or a \
             service account (--client-id, --client-secret-file); look into the environment too.",
        ));
    }
    let file = |given: Option<&std::path::PathBuf>, ending: &str| match given {
        Some(path) => quoted_path(path),
        None => Ok(quoted(&format!("{name}.{ending}"))),
    };
    let given =
        |value: Option<&String>, example: &str| quoted(value.map_or(example, String::as_str));
    let auth = if by_token {
        let email = given(args.email.as_ref(), "auditor@acme.example");
        let token = file(args.api_token_file.as_ref(), "token")?;
        let unscoped = if args.unscoped {
            ", unscoped = true"
        } else {
            ""
        };
        Auth {
            kind: "api-token",
            table: format!(
                "{{ kind = \"api-token\", email = {email}, token_file = {token}{unscoped} }}"
            ),
        }
    } else if by_client {
        let id = given(args.client_id.as_ref(), "00000000");
        let secret = file(args.client_secret_file.as_ref(), "secret")?;
        Auth {
            kind: "service-account",
            table: format!(
                "{{ kind = \"service-account\", client_id = {id}, client_secret_file = {secret} }}"
            ),
        }
    } else if let Some(path) = &args.oauth_token_file {
        let path = quoted_path(path)?;
        Auth {
            kind: "oauth",
            table: format!("{{ kind = \"oauth\", token_file = {path} }}"),
        }
    } else {
        return Ok(None);
    };
    Ok(Some(auth))
}

/// A text as TOML has it. JSON's way of quoting is one of TOML's, and what is not (the character
/// DEL) is refused when the file is read back.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn quoted_path(path: &Path) -> Result<String> {
    checked(path).map(quoted)
}

#[cfg(test)]
mod tests;
