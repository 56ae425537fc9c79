//! The file of what an output refused for good: one JSON line a record, with the reason.
//!
//! It is written like any output file, so that a crash neither loses nor doubles a letter. What a
//! letter says is decided once: the letters that are due stand in the output's checkpoint before
//! they are written, and what stands there is not sent again, whatever the service would say.

use std::io;
use std::path::{Path, PathBuf};

use confluence_audit_core::printable;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::output::{Entry, FileOutput, Output, OutputName};
use crate::{Error, ErrorKind, Result, fs};

/// So much of due letters is kept in a checkpoint at a time, and at least one letter.
const DUE: usize = 1 << 20;

/// Why a record was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The status that the service gave; 0 where nobody was asked.
    pub(in crate::output) status: u16,
    /// What it said.
    pub(in crate::output) reason: String,
    /// It may have taken the record all the same: it did not say which of several it refused.
    pub(in crate::output) doubtful: bool,
}

/// What the spool keeps of the letters.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::output) struct Letters {
    /// How far the file is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<Box<RawValue>>,
    /// What is to be written next, in the order of the records. Whatever is in between was
    /// accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    due: Vec<Due>,
}

/// A letter that is to be written.
#[derive(Debug, Serialize, Deserialize)]
struct Due {
    id: String,
    line: String,
}

/// A letter as it stands in the file.
#[derive(Serialize)]
struct Letter<'a> {
    id: &'a str,
    site: &'a str,
    output: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    reason: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    doubtful: bool,
    record: &'a str,
}

/// The file of what an output refused for good.
pub(crate) struct DeadLetters {
    output: OutputName,
    path: PathBuf,
    /// The directory is ours to make.
    makes_directory: bool,
    file: FileOutput,
}

impl DeadLetters {
    /// The letters of this output, in this file.
    pub(crate) fn new(output: &OutputName, path: &Path) -> Self {
        Self {
            output: output.clone(),
            path: path.to_owned(),
            makes_directory: false,
            file: FileOutput::new(output.clone(), path),
        }
    }

    /// The letters of this output, in a file of its own beside the state.
    pub(crate) fn in_state_dir(output: &OutputName, state_dir: &Path) -> Self {
        let path = state_dir.join("dead-letters").join(file_name(output));
        Self {
            makes_directory: true,
            ..Self::new(output, &path)
        }
    }

    /// Finds out early whether letters could be written. There is no file before the first one.
    pub(in crate::output) async fn prepare(&mut self) -> Result<()> {
        if self.makes_directory
            && let Some(parent) = self.path.parent()
        {
            fs::create_private_directory(parent).map_err(|error| self.cannot_create(error))?;
        }
        self.file.check().await.map(drop)
    }

    /// Makes letters of these records due: of one at least, and of no more than a checkpoint
    /// should hold.
    pub(in crate::output) fn address<'a>(
        &self,
        letters: &mut Letters,
        refused: impl Iterator<Item = (&'a Entry, &'a str, &'a Refusal)>,
    ) {
        let mut size = 0;
        for (entry, id, refusal) in refused {
            let record = String::from_utf8_lossy(&entry.line);
            let letter = Letter {
                id,
                site: &entry.site,
                output: self.output.as_str(),
                status: Some(refusal.status).filter(|status| *status > 0),
                reason: &printable(&refusal.reason, 500),
                doubtful: refusal.doubtful,
                record: &record,
            };
            // A structure of texts and numbers is always JSON.
            let Ok(line) = serde_json::to_string(&letter) else {
                continue;
            };
            size += line.len();
            if size > DUE && !letters.due.is_empty() {
                return;
            }
            letters.due.push(Due {
                id: id.to_owned(),
                line,
            });
        }
    }

    /// Writes the letters that are due. Those written, by the ids of their records; perhaps none
    /// yet, and the checkpoint has moved instead. `like` is any entry.
    pub(in crate::output) async fn write(
        &mut self,
        letters: &mut Letters,
        like: &Entry,
    ) -> Result<Vec<String>> {
        self.create()?;
        let lines: Vec<Entry> = letters
            .due
            .iter()
            .map(|due| Entry {
                line: due.line.clone().into(),
                ..like.clone()
            })
            .collect();
        let before = letters.file.as_ref().map(|file| file.get().as_bytes());
        let done = self.file.deliver(&lines, before).await?;
        let checkpoint = String::from_utf8(done.checkpoint).map(RawValue::from_string);
        let Ok(Ok(checkpoint)) = checkpoint else {
            return Err(Error::internal("the checkpoint of a file is not JSON"));
        };
        letters.file = Some(checkpoint);
        let written = letters.due.drain(..done.lines).map(|due| due.id);
        let written: Vec<String> = written.collect();
        if let Some(first) = written.first() {
            tracing::warn!(
                output = %self.output,
                records = written.len(),
                first,
                "records were refused for good; they are in {}, with the reasons",
                self.path.display()
            );
        }
        Ok(written)
    }

    /// Makes the file if there is none, for its owner alone.
    fn create(&self) -> Result<()> {
        match fs::create_new(&self.path, 0o600) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(self.cannot_create(error))
            }
            _ => Ok(()),
        }
    }

    fn cannot_create(&self, error: io::Error) -> Error {
        let path = self.path.display();
        Error::new(
            ErrorKind::OutputCreate,
            format!("the file of dead letters {path} cannot be created"),
            "Make its directory writable for the user that collects, or name another file with \
             `dead_letter`.",
        )
        .with_source(error)
    }
}

impl Letters {
    /// Whether letters are to be written before anything else is done.
    pub(in crate::output) fn are_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Drops letters of records that are not among these: they do not wait any more.
    pub(in crate::output) fn keep_those_of(&mut self, ids: &[String]) {
        let mut ids = ids.iter();
        let among = |due: &&Due| ids.any(|id| *id == due.id);
        let theirs = self.due.iter().take_while(among).count();
        self.due.truncate(theirs);
    }
}

/// A name that is a file's, different for different outputs.
fn file_name(output: &OutputName) -> String {
    let name = output.as_str();
    if fs::is_name(name) && name.len() <= 100 {
        return format!("{name}.ndjson");
    }
    let hash = blake3::hash(name.as_bytes()).to_hex();
    let words: Vec<&str> = name
        .split(|c| !fs::is_name_char(c))
        .filter(|w| !w.is_empty())
        .collect();
    let words: String = words.join("-").chars().take(100).collect();
    format!("{words}-{}.ndjson", &hash[..8])
}
