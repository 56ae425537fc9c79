//! The set-up of OAuth and the rotation of its tokens, with an authorization server and a browser
//! that are not ours: `tests/oauth_provider/run.mjs`.

use crate::{Result, browser_tests};

pub(crate) fn run() -> Result {
    let packages = ["confluence-audit-cli", "confluence-audit-oauth-setup"];
    let programs = ["confluence-audit-oauth-setup", "confluence-audit"];
    browser_tests::run("oauth_provider", &packages, &programs, "oauth-provider")
}
