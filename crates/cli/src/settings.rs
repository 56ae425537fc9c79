//! The settings of a run: flags over environment over file.

use std::path::Path;

use confluence_audit_collector::config::{
    Address, AuthConfig, FileConfig, OutputConfig, Secret, SiteConfig, StdoutConfig,
    default_config_file,
};
use confluence_audit_collector::credentials::{TokenFile, secret};
use confluence_audit_collector::env::{credentials_dir, variable};
use confluence_audit_collector::site::Sites;
use confluence_audit_collector::state::default_state_dir;
use confluence_audit_collector::{Config, Error, ErrorKind, Result, Setup};
use confluence_audit_core::{CloudId, Http, Origin};

use crate::options::SiteArgs;

/// Reads the configuration file and lays environment and flags over it.
pub(crate) fn read(args: &SiteArgs) -> Result<Setup> {
    let config_file = args.config.clone().or_else(default_config_file);
    let mut config = match &config_file {
        Some(path) => Config::load(path)?,
        None => Config::default(),
    };
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let state_dir = match args.state_dir.clone().or(config.state.dir.take()) {
        Some(dir) => dir,
        None => default_state_dir()?,
    };
    config.sites = sites(args, config.sites)?;
    let http = Http::builder()
        .user_agent(concat!("confluence-audit/", env!("CARGO_PKG_VERSION")))
        .retry(config.collect.retry)
        .build();
    Ok(Setup {
        config,
        config_file,
        state_dir,
        sites: Sites::new(http, credentials_dir()),
    })
}

/// The one site, for what is done with one at a time.
pub(crate) fn only_site(config: &Config) -> Result<&SiteConfig> {
    match config.sites.as_slice() {
        [site] => Ok(site),
        sites => {
            let names: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
            Err(Error::new(
                ErrorKind::Config,
                format!(
                    "{} sites are configured ({})",
                    sites.len(),
                    names.join(", ")
                ),
                "Name one with --site-url or --cloud-id.",
            ))
        }
    }
}

/// The outputs: the given file, else the configured ones, else the file that the script wrote.
pub(crate) fn outputs(config: &Config, given: Option<OutputConfig>) -> Result<Vec<OutputConfig>> {
    if let Some(given) = given {
        return Ok(vec![given]);
    }
    if !config.outputs.is_empty() {
        return Ok(config.outputs.clone());
    }
    output(Path::new("flattened.json")).map(|output| vec![output])
}

/// An output as a path gives it; `-` is standard output.
pub(crate) fn output(path: &Path) -> Result<OutputConfig> {
    if path == Path::new("-") {
        return Ok(OutputConfig::new(StdoutConfig));
    }
    let text = path.to_str().ok_or_else(|| {
        let message = format!("the output's path {} is not UTF-8", path.display());
        Error::new(
            ErrorKind::OutputCreate,
            message,
            "Choose another name for the file.",
        )
    })?;
    Ok(OutputConfig::new(FileConfig::new(text)))
}

fn sites(args: &SiteArgs, configured: Vec<SiteConfig>) -> Result<Vec<SiteConfig>> {
    let api_url = args
        .api_url
        .as_deref()
        .map(|url| origin("--api-url", url))
        .transpose()?;
    let auth_url = args
        .auth_url
        .as_deref()
        .map(|url| origin("--auth-url", url))
        .transpose()?;
    let auth = given_auth(args)?;
    let mut sites = match named(args)? {
        None => match &auth {
            Some(AuthConfig::Oauth { token_file }) if configured.is_empty() => {
                vec![consented_site(token_file)?]
            }
            _ => configured,
        },
        Some(address) => {
            let known = configured.into_iter().find(|site| site.address == address);
            let site = match (known, &auth) {
                (Some(site), _) => site,
                (None, Some(auth)) => SiteConfig {
                    name: name(&address),
                    address,
                    api_url: None,
                    auth_url: None,
                    auth: auth.clone(),
                    interval: None,
                },
                (None, None) => return Err(no_credentials(&name(&address))),
            };
            vec![site]
        }
    };
    if sites.is_empty() {
        return Err(Error::new(
            ErrorKind::Config,
            "no site is configured",
            "Give --site-url https://YOUR-SITE.atlassian.net, --email and --api-token-file; or \
             --oauth-token-file; or write a configuration file.",
        ));
    }
    if let Some(auth) = auth {
        let [site] = sites.as_mut_slice() else {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "credentials were given, and {} sites are configured",
                    sites.len()
                ),
                "Name the site that they are for with --site-url or --cloud-id.",
            ));
        };
        site.auth = auth;
    }
    for site in &mut sites {
        site.api_url = api_url.clone().or(site.api_url.take());
        site.auth_url = auth_url.clone().or(site.auth_url.take());
    }
    Ok(sites)
}

/// The site that a consent was given for, when no other is named.
fn consented_site(token_file: &Path) -> Result<SiteConfig> {
    let site = TokenFile::new(token_file).look()?.consent.site;
    Ok(SiteConfig {
        name: site.name(),
        address: Address::CloudId(site.cloud_id),
        api_url: None,
        auth_url: None,
        auth: AuthConfig::Oauth {
            token_file: token_file.to_owned(),
        },
        interval: None,
    })
}

pub(crate) fn named(args: &SiteArgs) -> Result<Option<Address>> {
    if let Some(id) = &args.cloud_id {
        let id = CloudId::new(id).map_err(|error| {
            Error::new(
                ErrorKind::Config,
                format!("--cloud-id: {error}"),
                error.remedy(),
            )
        })?;
        return Ok(Some(Address::CloudId(id)));
    }
    let url = args
        .site_url
        .as_deref()
        .map(|url| origin("--site-url", url));
    Ok(url.transpose()?.map(Address::Url))
}

/// What a site is called that has no name of its own.
pub(crate) fn name(address: &Address) -> String {
    match address {
        Address::CloudId(id) => id.to_string(),
        Address::Url(url) => {
            let host = url.host();
            host.strip_suffix(".atlassian.net")
                .unwrap_or(host)
                .to_owned()
        }
    }
}

/// The credentials that flags and environment give: of one kind, or none.
fn given_auth(args: &SiteArgs) -> Result<Option<AuthConfig>> {
    let oauth = args
        .oauth_token_file
        .clone()
        .map(|token_file| AuthConfig::Oauth { token_file });
    let given = [given_api_token(args)?, oauth, given_client(args)?];
    let mut given = given.into_iter().flatten();
    match (given.next(), given.next()) {
        (auth, None) => Ok(auth),
        (_, Some(_)) => Err(Error::new(
            ErrorKind::Config,
            "credentials of more than one kind are given",
            "Give an API token (--email, --api-token-file), a consent (--oauth-token-file) or a \
             service account (--client-id, --client-secret-file); look into the environment too.",
        )),
    }
}

fn given_api_token(args: &SiteArgs) -> Result<Option<AuthConfig>> {
    let token = match (&args.api_token_file, variable("CONFLUENCE_AUDIT_API_TOKEN")) {
        (Some(file), _) => Some(Secret::File(file.clone())),
        (None, Some(value)) => {
            tracing::info!(
                "the API token is taken from the environment, which other processes of this user \
                 can read: a file is safer"
            );
            let value = value.into_string().unwrap_or_default();
            Some(Secret::Given(secret::from_value(
                value,
                "CONFLUENCE_AUDIT_API_TOKEN",
            )?))
        }
        (None, None) => None,
    };
    match (args.email.clone(), token) {
        (Some(email), Some(token)) => Ok(Some(AuthConfig::ApiToken {
            email,
            token,
            unscoped: args.unscoped,
        })),
        (None, None) => Ok(None),
        (email, _) => Err(Error::new(
            ErrorKind::Config,
            if email.is_some() {
                "--email is given without a token"
            } else {
                "an API token is given without --email"
            },
            "An API token works with the email address of its account: give --email and \
             --api-token-file.",
        )),
    }
}

fn given_client(args: &SiteArgs) -> Result<Option<AuthConfig>> {
    match (&args.client_id, &args.client_secret_file) {
        (Some(client_id), Some(file)) => Ok(Some(AuthConfig::ServiceAccount {
            client_id: client_id.clone(),
            client_secret: Secret::File(file.clone()),
        })),
        (None, None) => Ok(None),
        _ => Err(Error::new(
            ErrorKind::Config,
            "one of --client-id and --client-secret-file is given without the other",
            "A service account has both: give --client-id and --client-secret-file.",
        )),
    }
}

fn no_credentials(site: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!("site {site}: there are no credentials"),
        "Give --email and --api-token-file (a scoped API token is made at \
         https://id.atlassian.com/manage-profile/security/api-tokens), or --oauth-token-file.",
    )
}

fn origin(flag: &str, url: &str) -> Result<Origin> {
    Origin::parse(url).map_err(|error| {
        Error::new(
            ErrorKind::Config,
            format!("{flag}: {error}"),
            "Write it as https://acme.atlassian.net; http is for loopback addresses alone, since \
             credentials go there.",
        )
    })
}
