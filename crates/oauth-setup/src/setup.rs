//! The set-up from start to end: ask for consent, exchange the code, choose the site, prove that
//! its audit log can be read, write the token file.

use std::path::absolute;
use std::sync::Arc;

use confluence_audit_collector::credentials::token_file::{ConsentedSite, Grant, Stored};
use confluence_audit_collector::credentials::{TokenFile, secret};
use confluence_audit_collector::env::{credentials_dir, variable};
use confluence_audit_collector::state::default_state_dir;
use confluence_audit_collector::{Error, ErrorKind, Result};
use confluence_audit_core::{
    AuditClient, AuditQuery, AuthorizationStates, Http, MemoryTokenStore, OAuth, OAuthApp, Origin,
    Runtime as _, Site, SiteAddress, SystemRuntime, accessible_resources,
};
use secrecy::SecretString;

use crate::args::{Args, SECRET_VARIABLE};
use crate::authorization::ask;
use crate::choice::choose;
use crate::remedy;
use crate::report;
use crate::terminal::{Lines, say};

const API: &str = "https://api.atlassian.com";
const AUTH: &str = "https://auth.atlassian.com";

pub(crate) async fn run(args: &Args) -> Result<()> {
    let client_secret = client_secret(args)?;
    let api = args.api_url.clone().map_or_else(|| origin(API), Ok)?;
    let auth = args.auth_url.clone().map_or_else(|| origin(AUTH), Ok)?;
    // A person is asked for nothing that cannot be kept.
    place(args, "site")?.prepare()?;

    let mut lines = Lines::start();
    let app = OAuthApp::new(auth, &args.client_id, client_secret.clone());
    let states = AuthorizationStates::new(&client_secret, args.redirect_uri.as_str());
    let code = ask(args, &app, &states, &mut lines).await?;
    say("Authorization received. Exchanging its code …");

    let http = Http::builder()
        .user_agent(concat!("confluence-audit/", env!("CARGO_PKG_VERSION")))
        .build();
    let redirect = &args.redirect_uri;
    let given_at = SystemRuntime.now();
    let exchanged = app.exchange(&http, &code, redirect.as_str()).await;
    let tokens = exchanged.map_err(|error| remedy::exchange(error, redirect))?;
    if tokens.refresh_token.is_none() {
        return Err(remedy::no_refresh_token());
    }

    // Until it has been proved, the consent replaces none that works.
    let store = Arc::new(MemoryTokenStore::new(tokens.clone()));
    let credentials = Arc::new(OAuth::new(http.clone(), api.clone(), app, store));
    let reached = accessible_resources(&http, &api, &*credentials).await;
    let reached = reached.map_err(|error| {
        remedy::with_remedy("the sites that the consent reaches cannot be listed", error)
    })?;
    let site = choose(reached, args.site.as_deref(), &mut lines).await?;
    say(&format!("Site: {}", remedy::shown(&site)));
    let address = SiteAddress::gateway(api, &site.id);
    let log = AuditClient::new(http, address, credentials);
    let proof = log.audit(&AuditQuery::new().limit(1)).await;
    proof.map_err(|error| remedy::proof(error, &site))?;
    say("Its audit log can be read.");

    let kept = Stored {
        consent: Grant {
            client_id: args.client_id.clone(),
            client_secret,
            site: consented(site),
            given_at,
        },
        tokens,
    };
    let file = place(args, &kept.consent.site.name())?;
    file.create(kept.clone()).await?;
    report::print(args, &kept, file.path())
}

fn origin(text: &str) -> Result<Origin> {
    Origin::parse(text).map_err(|error| remedy::with_remedy("the service's address", error))
}

fn client_secret(args: &Args) -> Result<SecretString> {
    if let Some(file) = &args.client_secret_file {
        return secret::read(file, credentials_dir().as_deref());
    }
    let value = variable(SECRET_VARIABLE).ok_or_else(|| {
        Error::new(
            ErrorKind::Config,
            "there is no client secret",
            format!(
                "Copy it from {}, your app, Settings, into a file that only you can read, and \
                 give that as --client-secret-file.",
                remedy::CONSOLE
            ),
        )
    })?;
    secret::from_value(value.into_string().unwrap_or_default(), SECRET_VARIABLE)
}

/// The token file of the site that is called `name`.
fn place(args: &Args, name: &str) -> Result<TokenFile> {
    let path = match &args.token_file {
        Some(path) => path.clone(),
        None => default_state_dir()?.join(format!("{name}.oauth.json")),
    };
    // The configuration names it, and is read elsewhere.
    Ok(TokenFile::new(absolute(&path).unwrap_or(path)))
}

fn consented(site: Site) -> ConsentedSite {
    ConsentedSite {
        cloud_id: site.id,
        name: site.name,
        url: site.url,
    }
}
