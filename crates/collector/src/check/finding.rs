//! Reporter of a check.

use confluence_audit_core::printable;
use serde::Serialize;

use crate::{Error, Result};

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was looked at: a part of the host, or a site's name.
    pub what: String,
    /// How it is.
    pub level: Level,
    /// What was found.
    pub text: String,
    /// What to do, unless all is well.
    pub remedy: Option<String>,
    /// The code that a run would end with.
    pub exit_code: Option<u8>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It stops no run, and yet ought to be seen to.
    Warn,
    /// A run would fail.
    Fail,
}

impl Finding {
    /// What would end a run.
    pub fn failure(what: &str, error: &Error) -> Self {
        let finding = Self::new(what, Level::Fail, &error.chain(), Some(error.remedy()));
        Self {
            exit_code: Some(error.exit_code()),
            ..finding
        }
    }

    fn new(what: &str, level: Level, text: &str, remedy: Option<&str>) -> Self {
        Self {
            what: printable(what, 80),
            level,
            text: printable(text, 2000),
            remedy: remedy.map(|remedy| printable(remedy, 2000)),
            exit_code: None,
        }
    }
}

/// Whoever wants to know of each finding.
pub(super) struct Reporter<'a>(pub(super) &'a mut dyn FnMut(Finding));

impl Reporter<'_> {
    pub(super) fn good(&mut self, what: &str, text: &str) {
        (self.0)(Finding::new(what, Level::Ok, text, None));
    }

    pub(super) fn warn(&mut self, what: &str, text: &str, remedy: &str) {
        (self.0)(Finding::new(what, Level::Warn, text, Some(remedy)));
    }

    pub(super) fn bad(&mut self, what: &str, error: &Error) {
        (self.0)(Finding::failure(what, error));
    }

    pub(super) fn note(&mut self, what: &str, result: Result<String>) {
        match result {
            Ok(text) => self.good(what, &text),
            Err(error) => self.bad(what, &error),
        }
    }
}
