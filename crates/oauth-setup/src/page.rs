//! Result page that the browser shows in the end, by maud. It holds fixed words alone: nothing of the
//! address that led to it, and nothing secret.

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, html};

use crate::answer::Refusal;

/// Where a person finds the rest.
const TERMINAL: &str = "You can close this page. The terminal says what to do.";

/// A page to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    status: StatusCode,
    sign: &'static str,
    title: &'static str,
    text: &'static str,
    next: &'static str,
}

impl Page {
    /// The code has come.
    pub(crate) fn success() -> Self {
        Self {
            status: StatusCode::OK,
            sign: "✓",
            title: "Consent received",
            text: "Your consent has reached this computer.",
            next: "You can close this page. The terminal shows the rest: which site, and whether \
                   its audit log can be read.",
        }
    }

    /// The code came before.
    pub(crate) fn served() -> Self {
        Self {
            status: StatusCode::GONE,
            sign: "✓",
            title: "Already received",
            text: "This consent has been received before, and works once.",
            next: TERMINAL,
        }
    }

    /// There is no code.
    pub(crate) fn of(refusal: &Refusal) -> Self {
        let (status, title, text, next) = match refusal {
            Refusal::Declined => (
                StatusCode::FORBIDDEN,
                "Consent declined",
                "You declined, so nothing was set up and nothing is stored.",
                "To try again, run the program again.",
            ),
            Refusal::WrongState => (
                StatusCode::BAD_REQUEST,
                "Not the answer that is waited for",
                "This answer does not belong to the question that the program asked, so it was \
                 not used.",
                "Go back to the terminal and open the address that it shows.",
            ),
            Refusal::Expired => (
                StatusCode::GONE,
                "Too late",
                "An answer is taken for five minutes, and this one came later. Nothing is stored.",
                "To try again, run the program again.",
            ),
            Refusal::Service(_) => (
                StatusCode::BAD_REQUEST,
                "Consent was not possible",
                "Atlassian refused to ask for your consent.",
                "The terminal says why, and what to do.",
            ),
            Refusal::Empty => (
                StatusCode::BAD_REQUEST,
                "No consent in this answer",
                "The answer holds neither a code nor a reason.",
                TERMINAL,
            ),
        };
        Self {
            status,
            sign: "✕",
            title,
            text,
            next,
        }
    }

    /// Nothing is here that anyone was sent to.
    pub(crate) fn not_here(status: StatusCode) -> Self {
        Self {
            status,
            sign: "✕",
            title: "Nothing here",
            text: "This address only takes the answer to a question of confluence-audit-oauth-setup.",
            next: TERMINAL,
        }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let Self {
            status,
            sign,
            title,
            text,
            next,
        } = self;
        let class = if sign == "✓" { "good" } else { "bad" };
        let body = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " – confluence-audit" }
                    style { (STYLE) }
                }
                body {
                    main class=(class) {
                        h1 { span aria-hidden="true" { (sign) } " " (title) }
                        p { (text) }
                        p { (next) }
                        p.program { "confluence-audit-oauth-setup" }
                    }
                }
            }
        };
        (status, Html(body.into_string())).into_response()
    }
}

/// The address holds the code: the page fetches nothing, and nobody frames it.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
                                                  base-uri 'none'; form-action 'none'; \
                                                  frame-ancestors 'none'";

/// Nothing in it has to be escaped. Both colour schemes keep a contrast above 7 to 1.
const STYLE: &str = "\
:root{color-scheme:light dark;--ground:#f4f5f7;--card:#fff;--ink:#172b4d;--soft:#44546f;\
--good:#0b5c3b;--bad:#9a1c0c}\
@media(prefers-color-scheme:dark){:root{--ground:#161a1d;--card:#22272b;--ink:#e6edf3;\
--soft:#b6c2cf;--good:#7ee2b8;--bad:#ffb3a7}}\
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--ground);\
color:var(--ink);font:1.0625rem/1.5 system-ui,sans-serif}\
main{box-sizing:border-box;width:min(34rem,100% - 2rem);margin:1rem;padding:2rem;\
border-radius:.75rem;background:var(--card);border-top:.375rem solid var(--good)}\
main.bad{border-color:var(--bad)}\
h1{margin:0 0 1rem;font-size:1.5rem;line-height:1.25}\
h1 span{color:var(--good)}.bad h1 span{color:var(--bad)}\
p{margin:.5rem 0}.program{margin-top:1.5rem;color:var(--soft);font-size:.875rem}";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_page_says_one_thing_and_nothing_of_the_address() {
        let refusal = Refusal::Service("canary".to_owned());
        let page = Page::of(&refusal).into_response();
        assert_eq!(page.status(), StatusCode::BAD_REQUEST);
        let body = axum::body::to_bytes(page.into_body(), usize::MAX).await;
        let text = String::from_utf8(body.expect("a body").to_vec()).expect("text");
        assert!(!text.contains("canary") && !text.contains("<script"));
        assert_eq!(text.matches("<h1>").count(), 1);
        assert!(text.contains(STYLE), "{text}");
        assert!(text.contains("<html lang=\"en\">") && text.contains("</main>"));
    }
}
