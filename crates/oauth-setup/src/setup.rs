//! The way from nothing to a consent that is kept: ask, exchange, choose, prove, write.

use std::env;
use std::path::{PathBuf, absolute};
use std::sync::Arc;

use confluence_audit_collector::credentials::token_file::{ConsentedSite, Grant, Stored};
use confluence_audit_collector::credentials::{TokenFile, secret};
use confluence_audit_collector::state::default_state_dir;
use confluence_audit_collector::{Error, ErrorKind, Result};
use confluence_audit_core::{
    AuditClient, AuditQuery, Http, MemoryTokenStore, OAuth, OAuthApp, Origin, Runtime as _, Site,
    SiteAddress, SystemRuntime, accessible_resources,
};
use secrecy::SecretString;
use tokio::time::timeout;
use url::Url;
use url::form_urlencoded::Serializer;

use crate::answer::{self, Refusal};
use crate::args::{Args, SECRET_VARIABLE};
use crate::browser;
use crate::choice::choose;
use crate::listener::{Answer, Listener};
use crate::redirect::Redirect;
use crate::remedy;
use crate::report;
use crate::terminal::{Lines, say};
use confluence_audit_core::{CHANCE, LIMIT, States};

const API: &str = "https://api.atlassian.com";
const AUTH: &str = "https://auth.atlassian.com";

/// What a consent is asked for: to read the audit log, and to go on when the person has gone.
const SCOPE: &str = "read:audit-log:confluence offline_access";

pub(crate) async fn run(args: &Args) -> Result<()> {
    let client_secret = client_secret(args)?;
    let api = args.api_url.clone().map_or_else(|| origin(API), Ok)?;
    let auth = args.auth_url.clone().map_or_else(|| origin(AUTH), Ok)?;
    // A person is asked for nothing that cannot be kept.
    place(args, "site")?.prepare()?;

    let mut lines = Lines::start();
    let code = ask(args, &client_secret, &auth, &mut lines).await?;
    say("The consent has come. Exchanging its code …");

    let http = Http::builder()
        .user_agent(concat!("confluence-audit/", env!("CARGO_PKG_VERSION")))
        .build();
    let app = OAuthApp::new(auth, &args.client_id, client_secret.clone());
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
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(file) = &args.client_secret_file {
        let dir = variable("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        return secret::read(file, dir.as_deref());
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

/// Asks the person, and waits for the code.
async fn ask(
    args: &Args,
    client_secret: &SecretString,
    auth: &Origin,
    lines: &mut Lines,
) -> Result<SecretString> {
    let redirect = &args.redirect_uri;
    let states = States::new(client_secret, redirect.as_str());
    if let Some(callback) = &args.callback_url {
        let answer = pasted(callback, redirect, &states).ok_or_else(|| not_callback(redirect))?;
        return answer.map_err(|refusal| refusal.error());
    }
    // Before anyone can be sent there.
    let listener = match redirect.loopback_port() {
        Some(port) => Some(Listener::bind(redirect, port).await?),
        None => None,
    };
    let url = authorize_url(args, auth, &states.make(chance()?, SystemRuntime.now()));
    say(&format!(
        "Open this address in a browser, as a Confluence administrator, and press Accept:\n\n  \
         {url}\n"
    ));
    let opened = !args.no_browser && browser::open(&url);
    say(&instructions(redirect, opened));
    let Some(listener) = listener else {
        let pasted = timeout(LIMIT, paste(redirect, &states, lines)).await;
        return match pasted {
            Ok(code) => code.unwrap_or_else(|| Err(nothing_given())),
            Err(_) => Err(Refusal::Expired.error()),
        };
    };
    let theirs = states.clone();
    let read = move |url: &Url| noted(answer::read(url, &theirs, SystemRuntime.now()));
    tokio::select! {
        answer = listener.wait(read, LIMIT) => {
            answer.unwrap_or(Err(Refusal::Expired)).map_err(|refusal| refusal.error())
        }
        // Over SSH the browser is on another host, and cannot reach this one.
        Some(code) = paste(redirect, &states, lines) => code,
    }
}

fn chance() -> Result<[u8; CHANCE]> {
    let mut chance = [0; CHANCE];
    let filled = rustix::rand::getrandom(&mut chance, rustix::rand::GetRandomFlags::empty());
    match filled {
        Ok(CHANCE) => Ok(chance),
        _ => Err(Error::new(
            ErrorKind::Io,
            "the system gives no random numbers",
            "Wait until the system has started up, and run this again.",
        )),
    }
}

fn authorize_url(args: &Args, auth: &Origin, state: &str) -> String {
    let query = Serializer::new(String::new())
        .append_pair("audience", "api.atlassian.com")
        .append_pair("client_id", &args.client_id)
        .append_pair("scope", SCOPE)
        .append_pair("redirect_uri", args.redirect_uri.as_str())
        .append_pair("state", state)
        .append_pair("response_type", "code")
        .append_pair("prompt", "consent")
        .finish();
    format!("{auth}/authorize?{query}")
}

fn instructions(redirect: &Redirect, opened: bool) -> String {
    let wait = match (redirect.loopback_port(), opened) {
        (Some(_), true) => "Waiting five minutes for the browser that was opened.".to_owned(),
        (Some(_), false) => format!(
            "Waiting five minutes for the browser. If it is on another host, it ends on a page \
             that cannot be\nreached: paste that page's address ({redirect}?…) here."
        ),
        (None, _) => format!(
            "The browser ends on a page that need not exist. Paste that page's address \
             ({redirect}?…)\nhere within five minutes:"
        ),
    };
    format!(
        "{wait}\nIf the page says that the redirect address is wrong, register this one: {}.",
        remedy::redirect_place(redirect)
    )
}

/// Says what a browser has brought that is not the answer; it is waited for further.
fn noted(answer: Answer) -> Answer {
    if let Err(refusal @ (Refusal::WrongState | Refusal::Expired)) = &answer {
        say(&format!("{}; waiting on.", refusal.error()));
    }
    answer
}

/// The answer in an address that was pasted, if it is the callback's.
fn pasted(address: &str, redirect: &Redirect, states: &States) -> Option<Answer> {
    let callback = redirect.answer_in(address)?;
    Some(answer::read(&callback, states, SystemRuntime.now()))
}

/// The code from an address that is pasted; `None` when standard input ends without one.
async fn paste(
    redirect: &Redirect,
    states: &States,
    lines: &mut Lines,
) -> Option<Result<SecretString>> {
    while let Some(line) = lines.next().await {
        if let Some(answer) = pasted(&line, redirect, states) {
            return Some(answer.map_err(|refusal| refusal.error()));
        }
        say(&format!(
            "That is not the callback address, which begins with {redirect}?. Paste it here:"
        ));
    }
    None
}

fn nothing_given() -> Error {
    Error::new(
        ErrorKind::Credentials,
        "no callback address was given",
        "Open the address above, accept, and run this again with --callback-url and the address \
         that the browser then shows, within five minutes.",
    )
}

fn not_callback(redirect: &Redirect) -> Error {
    Error::new(
        ErrorKind::Config,
        "the address of --callback-url is not the callback's",
        format!("Copy the whole address from the browser's bar: it begins with {redirect}?."),
    )
}

fn consented(site: Site) -> ConsentedSite {
    ConsentedSite {
        cloud_id: site.id,
        name: site.name,
        url: site.url,
    }
}
