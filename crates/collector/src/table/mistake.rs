//! Mistakes in a configuration file, each with its line and what to do, reported all at once.

use std::cell::RefCell;

use confluence_audit_core::printable;

use crate::{Error, ErrorKind};

/// The text of a file, what to call it, and what is wrong with it.
pub(crate) struct File<'a> {
    text: &'a str,
    origin: &'a str,
    mistakes: RefCell<Vec<Mistake>>,
}

/// What is wrong at a place of a file, and what to do about it.
pub(crate) struct Mistake {
    at: usize,
    message: String,
    remedy: String,
}

impl Mistake {
    pub(crate) fn new(at: usize, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

impl<'a> File<'a> {
    pub(crate) fn new(text: &'a str, origin: &'a str) -> Self {
        Self {
            text,
            origin,
            mistakes: RefCell::default(),
        }
    }

    pub(crate) fn note(&self, mistake: Mistake) {
        self.mistakes.borrow_mut().push(mistake);
    }

    /// All that is wrong, in the order of the file: the first mistake is the error's own sentence,
    /// the others follow behind its remedy.
    pub(crate) fn error(&self) -> Option<Error> {
        let mut mistakes = self.mistakes.take();
        mistakes.sort_by_key(|mistake| mistake.at);
        let mut mistakes = mistakes.into_iter();
        let first = mistakes.next()?;
        let message = self.sentence(&first);
        let others = mistakes.map(|mistake| {
            let sentence = printable(&self.sentence(&mistake), MESSAGE);
            format!("\n{sentence}\n  {}", mistake.remedy)
        });
        let remedy = first.remedy + &others.collect::<String>();
        Some(Error::new(ErrorKind::Config, message, remedy))
    }

    fn sentence(&self, mistake: &Mistake) -> String {
        let before = self.text.as_bytes().iter().take(mistake.at);
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        format!("{} line {line}: {}", self.origin, mistake.message)
    }
}

/// Nobody reads a longer sentence.
const MESSAGE: usize = 2_000;
