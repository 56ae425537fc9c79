//! Opening the person's browser, where there is one.

use std::process::{Command, Stdio};

use confluence_audit_collector::env::variable;

use crate::args::SECRET_VARIABLE;

/// Opens `url`; false when there is no browser to be seen, as over SSH.
pub(crate) fn open(url: &str) -> bool {
    let opener = if let Some(browser) = variable("BROWSER") {
        browser
    } else if cfg!(target_os = "macos") {
        "open".into()
    } else if variable("DISPLAY")
        .or(variable("WAYLAND_DISPLAY"))
        .is_some()
    {
        "xdg-open".into()
    } else {
        return false;
    };
    Command::new(opener)
        .arg(url)
        // What a browser inherits, its pages' helpers inherit too.
        .env_remove(SECRET_VARIABLE)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .is_ok()
}
