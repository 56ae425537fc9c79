//! Authorisation request: a person is asked for consent in a browser, and the code comes back to
//! the listener on this host, or is pasted.

use confluence_audit_collector::{Error, ErrorKind, Result};
use confluence_audit_core::{AuthorizationStates, OAuthApp, Runtime as _, SystemRuntime};
use secrecy::SecretString;
use tokio::time::timeout;
use url::Url;

use crate::answer::{self, Refusal};
use crate::args::Args;
use crate::browser;
use crate::listener::{Answer, Listener};
use crate::redirect::Redirect;
use crate::remedy;
use crate::terminal::{Lines, say};

/// Asks the person, and waits for the code.
pub(crate) async fn ask(
    args: &Args,
    app: &OAuthApp,
    states: &AuthorizationStates,
    lines: &mut Lines,
) -> Result<SecretString> {
    let redirect = &args.redirect_uri;
    if let Some(callback) = &args.callback_url {
        let answer = pasted(callback, redirect, states).ok_or_else(|| not_callback(redirect))?;
        return answer.map_err(|refusal| refusal.error());
    }
    // Before anyone can be sent there.
    let listener = match redirect.loopback_port() {
        Some(port) => Some(Listener::bind(redirect, port).await?),
        None => None,
    };
    let state = states.make(random()?, SystemRuntime.now());
    let url = app.authorization_url(redirect.as_str(), &state);
    say(&format!(
        "Open this address in a browser, as a Confluence administrator, and press Accept:\n\n  \
         {url}\n"
    ));
    let opened = !args.no_browser && browser::open(&url);
    say(&instructions(redirect, opened));
    let Some(listener) = listener else {
        let pasted = timeout(
            AuthorizationStates::LIFETIME,
            paste(redirect, states, lines),
        )
        .await;
        return match pasted {
            Ok(code) => code.unwrap_or_else(|| Err(nothing_given())),
            Err(_) => Err(Refusal::Expired.error()),
        };
    };
    let known = states.clone();
    let read = move |url: &Url| noted(answer::read(url, &known, SystemRuntime.now()));
    tokio::select! {
        answer = listener.wait(read, AuthorizationStates::LIFETIME) => {
            answer.unwrap_or(Err(Refusal::Expired)).map_err(|refusal| refusal.error())
        }
        // Over SSH the browser is on another host, and cannot reach this one.
        Some(code) = paste(redirect, states, lines) => code,
    }
}

fn random() -> Result<[u8; AuthorizationStates::RANDOM_BYTES]> {
    let mut bytes = [0; AuthorizationStates::RANDOM_BYTES];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    if filled == Ok(bytes.len()) {
        return Ok(bytes);
    }
    Err(Error::new(
        ErrorKind::Io,
        "the system gives no random numbers",
        "Wait until the system has started up, and run this again.",
    ))
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
fn pasted(address: &str, redirect: &Redirect, states: &AuthorizationStates) -> Option<Answer> {
    let callback = redirect.answer_in(address)?;
    Some(answer::read(&callback, states, SystemRuntime.now()))
}

/// The code from an address that is pasted; `None` when standard input ends without one.
async fn paste(
    redirect: &Redirect,
    states: &AuthorizationStates,
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
