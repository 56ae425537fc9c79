//! From the tables of the file to values that can be relied on.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::table::{Section, Text};
use super::{Address, AuthConfig, Collect, MOST_JOBS, Secret, SiteConfig, Start, State};
use crate::Result;
use crate::config::{When, parse_duration, parse_size};
use crate::fs::is_name;
use confluence_audit_core::read::Lookback;

pub(super) fn read_state(mut section: Section<'_>) -> Result<State> {
    let mut state = State::default();
    if let Some(url) = section.text("url")? {
        return Err(url.mistake(
            "a state in a database ([state] url) is not supported in this version",
            "Use `dir`, a directory on a local disk.",
        ));
    }
    state.dir = section.text("dir")?.map(Text::into_path).transpose()?;
    if let Some(limit) = section.text("spool_limit")? {
        state.spool_limit = parse_size(limit.value).ok_or_else(|| {
            let shown = limit.value.escape_debug();
            limit.mistake(
                &format!("`spool_limit` is `{shown}`, which is no size"),
                "Write a whole number with its unit: \"1GiB\", \"500MB\" or \"64KiB\".",
            )
        })?;
    }
    section.finish()?;
    Ok(state)
}

/// More sites at a time would only wait for each other.
const MOST_PASSES: u32 = 256;

/// More requests a second no service takes.
const MOST_REQUESTS: u32 = 10_000;

pub(super) fn read_collect(mut section: Section<'_>) -> Result<Collect> {
    let mut collect = Collect::default();
    if let Some(interval) = read_interval(&mut section)? {
        collect.interval = interval;
    }
    if let Some(start) = section.text("start")?
        && start.value != "retained"
    {
        let when = When::parse(start.value).map_err(|error| {
            start.mistake(
                &error.to_string(),
                "Or write \"retained\", for everything that the site still has.",
            )
        })?;
        collect.start = Start::At(when);
    }
    if let Some((jobs, at)) = section.number("jobs")? {
        let few = u8::try_from(jobs).ok().filter(|jobs| *jobs <= MOST_JOBS);
        collect.jobs = few
            .and_then(|jobs| NonZeroUsize::new(jobs.into()))
            .ok_or_else(|| {
                section.source.mistake(
                    at,
                    &format!("`jobs` is {jobs}"),
                    &format!("Write a number from 1 to {MOST_JOBS}."),
                )
            })?;
    }
    if let Some(passes) = read_from_one(&mut section, "passes", MOST_PASSES)? {
        collect.passes = usize::try_from(passes.get())
            .ok()
            .and_then(NonZeroUsize::new)
            .unwrap_or(collect.passes);
    }
    for (key, place) in [
        ("site_rate", &mut collect.site_rate),
        ("account_rate", &mut collect.account_rate),
    ] {
        if let Some(rate) = read_from_one(&mut section, key, MOST_REQUESTS)? {
            *place = rate.get();
        }
    }
    if section.has("reread") {
        collect.reread = section
            .tables("reread")?
            .into_iter()
            .map(read_reread)
            .collect::<Result<_>>()?;
    }
    for (key, place) in [
        ("retry_base", &mut collect.retry.base),
        ("retry_budget", &mut collect.retry.budget),
    ] {
        if let Some(wait) = section.text(key)? {
            *place = parse_duration(wait.value)
                .map_err(|error| wait.mistake(&error.to_string(), "Write it as \"2s\"."))?;
        }
    }
    section.finish()?;
    Ok(collect)
}

/// The time between two passes.
fn read_interval(section: &mut Section<'_>) -> Result<Option<Duration>> {
    let text = section.text("interval")?;
    text.map(|text| {
        parse_duration(text.value)
            .map_err(|error| text.mistake(&error.to_string(), "Write it as \"10m\"."))
    })
    .transpose()
}

/// A whole number from 1 to `most`.
fn read_from_one(
    section: &mut Section<'_>,
    key: &'static str,
    most: u32,
) -> Result<Option<NonZeroU32>> {
    let Some((number, at)) = section.number(key)? else {
        return Ok(None);
    };
    let fits = u32::try_from(number).ok().filter(|number| *number <= most);
    fits.and_then(NonZeroU32::new).map(Some).ok_or_else(|| {
        let message = format!("`{key}` is {number}");
        let remedy = format!("Write a number from 1 to {most}.");
        section.source.mistake(at, &message, &remedy)
    })
}

fn read_reread(mut section: Section<'_>) -> Result<Lookback> {
    let mut duration = |key, needed| -> Result<Option<Duration>> {
        let text = if needed {
            Some(section.required(key, "how far back, such as \"24h\"")?)
        } else {
            section.text(key)?
        };
        text.map(|text| {
            parse_duration(text.value)
                .map_err(|error| text.mistake(&error.to_string(), "Write it as \"24h\"."))
        })
        .transpose()
    };
    let span = duration("span", true)?.unwrap_or_default();
    let every = duration("every", false)?.unwrap_or_default();
    section.finish()?;
    Ok(Lookback::new(span, every))
}

pub(super) fn read_sites(sections: Vec<Section<'_>>) -> Result<Vec<SiteConfig>> {
    let mut sites: Vec<SiteConfig> = Vec::new();
    for mut section in sections {
        let name = section.required("name", "a name of your choice for the site")?;
        if !is_name(name.value) {
            return Err(name.mistake(
                &format!("`{}` cannot be a site's name", name.value.escape_debug()),
                "Use letters, digits, `.`, `_` and `-`, and begin with none of the dots: the name \
                 becomes a part of file names.",
            ));
        }
        if sites.iter().any(|site| site.name == name.value) {
            return Err(name.mistake(
                &format!("a second site is named `{}`", name.value),
                "Give each site a name of its own.",
            ));
        }
        let address = match (section.text("url")?, section.text("cloud_id")?) {
            (Some(url), None) => Address::Url(url.to_origin()?),
            (None, Some(id)) => Address::CloudId(id.to_cloud_id()?),
            (both, _) => {
                return Err(section.mistake(
                    if both.is_some() {
                        "a site has both `url` and `cloud_id`"
                    } else {
                        "a site has neither `url` nor `cloud_id`"
                    },
                    "Give it exactly one: url = \"https://acme.atlassian.net\", or cloud_id = \
                     \"…\", which is found at that address under /_edge/tenant_info.",
                ));
            }
        };
        let api_url = section.text("api_url")?;
        let auth_url = section.text("auth_url")?;
        let Some(auth) = section.table("auth")? else {
            return Err(section.mistake(
                "a site has no `auth`",
                "Say how to sign in, such as auth = { kind = \"api-token\", email = \"…\", \
                 token_file = \"…\" }.",
            ));
        };
        sites.push(SiteConfig {
            name: name.value.to_owned(),
            address,
            api_url: api_url.map(|url| url.to_origin()).transpose()?,
            auth_url: auth_url.map(|url| url.to_origin()).transpose()?,
            auth: read_auth(auth)?,
            interval: read_interval(&mut section)?,
        });
        section.finish()?;
    }
    Ok(sites)
}

fn read_auth(mut section: Section<'_>) -> Result<AuthConfig> {
    const KINDS: &str = "The kinds are: api-token, oauth, service-account.";
    let kind = section.required("kind", KINDS)?;
    let auth = match kind.value {
        "api-token" => AuthConfig::ApiToken {
            email: section
                .required("email", "the account that the token belongs to")?
                .non_empty()?
                .to_owned(),
            token: section
                .required("token_file", "the file that holds the API token")?
                .into_path()
                .map(Secret::File)?,
            unscoped: section.flag("unscoped")?,
        },
        "oauth" => AuthConfig::Oauth {
            token_file: section
                .required(
                    "token_file",
                    "the file that confluence-audit-oauth-setup wrote",
                )?
                .into_path()?,
        },
        "service-account" => AuthConfig::ServiceAccount {
            client_id: section
                .required("client_id", "the service account's client id")?
                .non_empty()?
                .to_owned(),
            client_secret: section
                .required(
                    "client_secret_file",
                    "the file that holds the client's secret",
                )?
                .into_path()
                .map(Secret::File)?,
        },
        other => {
            let message = format!("there is no kind of auth `{}`", other.escape_debug());
            return Err(kind.mistake(&message, KINDS));
        }
    };
    section.finish()?;
    Ok(auth)
}
