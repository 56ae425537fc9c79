//! The daemon's status page in a browser: `tests/status_page/run.mjs`.

use crate::{Result, browser_tests};

pub(crate) fn run() -> Result {
    let packages = ["confluence-audit-daemon", "confluence-audit-sim"];
    let programs = ["confluence-auditd", "confluence-audit-sim"];
    browser_tests::run("status_page", &packages, &programs, "status-page")
}
