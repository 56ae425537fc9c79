//! What was found: as lines while it is found, or as one object for a machine.

use std::io::{self, Write as _};

use confluence_audit_collector::{Error, Result};
use confluence_audit_core::printable;
use serde::Serialize;

use crate::report::Failure;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    /// What was looked at: a part of the host, or a site's name.
    what: String,
    level: Level,
    text: String,
    /// What to do, unless all is well.
    remedy: Option<String>,
    /// The code that a run would end with.
    exit_code: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// All that was found.
#[derive(Debug)]
pub(super) struct Findings {
    json: bool,
    found: Vec<Finding>,
    unwritable: Option<io::Error>,
}

impl Findings {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            found: Vec::new(),
            unwritable: None,
        }
    }

    pub(super) fn good(&mut self, what: &str, text: &str) {
        self.add(what, Level::Ok, text, None, None);
    }

    /// Something that stops no run, and yet ought to be seen to.
    pub(super) fn warn(&mut self, what: &str, text: &str, remedy: &str) {
        self.add(what, Level::Warn, text, Some(remedy), None);
    }

    pub(super) fn bad(&mut self, what: &str, error: &Error) {
        let code = Some(error.exit_code());
        self.add(
            what,
            Level::Fail,
            &error.chain(),
            Some(error.remedy()),
            code,
        );
    }

    pub(super) fn note(&mut self, what: &str, result: Result<String>) {
        match result {
            Ok(text) => self.good(what, &text),
            Err(error) => self.bad(what, &error),
        }
    }

    fn add(
        &mut self,
        what: &str,
        level: Level,
        text: &str,
        remedy: Option<&str>,
        exit_code: Option<u8>,
    ) {
        let finding = Finding {
            what: printable(what, 80),
            level,
            text: printable(text, 2000),
            remedy: remedy.map(|remedy| printable(remedy, 2000)),
            exit_code,
        };
        if !self.json
            && let Err(error) = finding.print()
        {
            self.unwritable.get_or_insert(error);
        }
        self.found.push(finding);
    }

    pub(super) fn finish(self) -> std::result::Result<(), Failure> {
        let failed = self.found.iter().find_map(|finding| finding.exit_code);
        let printed = match self.unwritable {
            Some(error) => Err(error),
            None if self.json => {
                let all = serde_json::json!({
                    "findings": self.found,
                    "exit_code": failed.unwrap_or_default(),
                });
                writeln!(io::stdout(), "{all}")
            }
            None => Ok(()),
        };
        printed.map_err(Failure::stdout)?;
        match failed {
            Some(code) => Err(Failure::Said(code)),
            None => Ok(()),
        }
    }
}

impl Finding {
    fn print(&self) -> io::Result<()> {
        let mut out = io::stdout();
        let sign = match self.level {
            Level::Ok => "ok  ",
            Level::Warn => "WARN",
            Level::Fail => "FAIL",
        };
        writeln!(out, "{sign}  {}: {}", self.what, self.text)?;
        match &self.remedy {
            Some(remedy) => writeln!(out, "          remedy: {remedy}"),
            None => Ok(()),
        }
    }
}
