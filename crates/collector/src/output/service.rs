//! Delivery to a service: accepted, refused or later, record by record.
//!
//! A [`Protocol`] makes one request and says what became of each record in it. Here it is decided
//! what follows. What was accepted is remembered until it is confirmed, so that another attempt
//! sends the rest alone; a request that was refused as a whole is halved until the record is found
//! that is to blame; what was refused for good becomes a [dead letter](dead_letter).

mod client;
pub(super) mod config;
mod dead_letter;

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use self::dead_letter::{DeadLetters, Letters};
use super::kind::OutputSetup;
use super::{Delivered, Entry, Output, OutputName};
use crate::{Error, ErrorKind, Result};

pub(super) use self::client::{HttpClient, Request, Response};
pub(super) use self::dead_letter::Refusal;

/// A service that has refused so many records in a row, and accepted none, is wrong itself.
const REFUSES_EVERYTHING: usize = 10;

/// How a service is spoken to.
#[async_trait]
pub(crate) trait Protocol: Send + Sync {
    /// The file for what is refused, where one is configured.
    fn dead_letter(&self) -> Option<&Path>;

    /// Whether a request has to be made of the same records when it is made again by another
    /// process: then its end is written down before it is sent.
    fn repeats_requests(&self) -> bool {
        false
    }

    /// As [`Output::check`].
    async fn check(&mut self) -> Result<String>;

    /// As [`Output::prepare`].
    async fn prepare(&mut self) -> Result<()>;

    /// Makes one request. An error says nothing of any record.
    async fn send(&mut self, entries: &[Entry]) -> Result<Outcome>;
}

/// What became of a request.
pub(crate) enum Outcome {
    /// The service said something of each record, in their order. The error is what it said of
    /// those that it did not take now.
    Each(Vec<Verdict>, Option<Error>),
    /// It refused the request, because of one of them, or of all together.
    Refused(Refusal),
    /// The same, and it was hardly another than the one of this number.
    Blamed(Refusal, usize),
}

impl Outcome {
    /// It took them all.
    pub(super) fn accepted(entries: &[Entry]) -> Self {
        Self::Each(vec![Verdict::Accepted; entries.len()], None)
    }
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The service has it.
    Accepted,
    /// It never will.
    Refused(Refusal),
    /// It did not take it now.
    Later,
}

/// What the spool keeps of a service.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Checkpoint {
    #[serde(default)]
    letters: Letters,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<Planned>,
}

/// The end of the next request.
#[derive(Debug, Serialize, Deserialize)]
struct Planned {
    records: usize,
    last: String,
}

/// An output that is a service.
pub(crate) struct Service<P> {
    name: OutputName,
    protocol: P,
    letters: DeadLetters,
    /// So many bytes of lines are sent in one request, and at least one line.
    most: usize,
    /// What is known of records that are not confirmed yet.
    settled: HashMap<String, Verdict>,
    /// What the last request failed with, after something else of it was confirmed.
    failure: Option<Error>,
    /// How many records it has refused since it last accepted one.
    refused: usize,
}

impl<P: Protocol> Service<P> {
    pub(crate) fn new(setup: OutputSetup<'_>, protocol: P) -> Self {
        let name = setup.name;
        let letters = match protocol.dead_letter() {
            Some(path) => DeadLetters::new(&name, path),
            None => DeadLetters::in_state_dir(&name, &setup.context.state_dir),
        };
        Self {
            name,
            protocol,
            letters,
            most: setup.batch.bytes,
            settled: HashMap::new(),
            failure: None,
            refused: 0,
        }
    }

    /// Sends what nothing is known of yet, in order, up to the first failure.
    async fn send(&mut self, entries: &[Entry], ids: &[String]) -> Result<()> {
        let unsettled =
            std::iter::zip(entries, ids).filter(|(_, id)| !self.settled.contains_key(*id));
        let (entries, ids): (Vec<Entry>, Vec<&str>) = unsettled
            .map(|(entry, id)| (entry.clone(), id.as_str()))
            .unzip();
        let mut parts = self.parts(&entries);
        parts.reverse();
        while let Some(part) = parts.pop() {
            match self.protocol.send(&entries[part.clone()]).await? {
                Outcome::Each(verdicts, failure) => {
                    if verdicts.len() != part.len() {
                        return Err(Error::internal("a service was misunderstood"));
                    }
                    self.settle(&ids[part], verdicts)?;
                    if let Some(error) = failure {
                        return Err(error);
                    }
                }
                Outcome::Refused(refusal) | Outcome::Blamed(refusal, _) if part.len() == 1 => {
                    self.settle(&ids[part], vec![Verdict::Refused(refusal)])?;
                }
                Outcome::Blamed(_, number) if number < part.len() => {
                    let suspect = part.start + number;
                    let around = [
                        suspect + 1..part.end,
                        suspect..suspect + 1,
                        part.start..suspect,
                    ];
                    parts.extend(around.into_iter().filter(|it| !it.is_empty()));
                }
                Outcome::Refused(_) | Outcome::Blamed(..) => {
                    let middle = part.start + part.len() / 2;
                    parts.extend([middle..part.end, part.start..middle]);
                }
            }
        }
        Ok(())
    }

    /// Sends a request whose end is written down. Whether it has to be a shorter one: that is
    /// written down first, too, so that no process sends these records in other requests.
    async fn send_planned(&mut self, entries: &[Entry], ids: &[String]) -> Result<bool> {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let failure = match self.protocol.send(entries).await? {
            Outcome::Each(verdicts, failure) => {
                self.settle(&ids, verdicts)?;
                failure
            }
            Outcome::Refused(refusal) | Outcome::Blamed(refusal, _) if ids.len() == 1 => {
                self.settle(&ids, vec![Verdict::Refused(refusal)])?;
                None
            }
            Outcome::Refused(_) | Outcome::Blamed(..) => return Ok(true),
        };
        failure.map_or(Ok(false), Err)
    }

    /// What goes into one request each.
    fn parts(&self, entries: &[Entry]) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let (mut start, mut bytes) = (0, 0);
        for (index, entry) in entries.iter().enumerate() {
            if bytes > 0 && bytes + entry.line.len() > self.most {
                parts.push(start..index);
                (start, bytes) = (index, 0);
            }
            bytes += entry.line.len().max(1);
        }
        if start < entries.len() {
            parts.push(start..entries.len());
        }
        parts
    }

    /// Remembers what became of records; fails where this says more of the service than of them.
    fn settle(&mut self, ids: &[&str], verdicts: Vec<Verdict>) -> Result<()> {
        let refused = |verdict: &Verdict| matches!(verdict, Verdict::Refused(it) if !it.doubtful);
        self.refused += verdicts.iter().filter(|it| refused(it)).count();
        if verdicts
            .iter()
            .any(|it| !refused(it) && *it != Verdict::Later)
        {
            self.refused = 0;
        }
        if self.refused >= REFUSES_EVERYTHING
            && let Some(Verdict::Refused(last)) = verdicts.iter().rfind(|it| refused(it))
        {
            return Err(Error::new(
                ErrorKind::OutputCreate,
                format!(
                    "the output {} has refused {} records in a row and accepted none since: {} {}",
                    self.name, self.refused, last.status, last.reason
                ),
                "This is hardly the records' fault: see to how the place is set up (address, \
                 mapping, limits). They wait in the spool and are sent again.",
            ));
        }
        for (id, verdict) in std::iter::zip(ids, verdicts) {
            if verdict != Verdict::Later {
                self.settled.insert((*id).to_owned(), verdict);
            }
        }
        Ok(())
    }

    /// The end of the next request, if it has to be written down and is not.
    fn plan(
        &self,
        entries: &[Entry],
        ids: &[String],
        planned: Option<&Planned>,
    ) -> Option<Planned> {
        let holds = |planned: &Planned| {
            let last = planned
                .records
                .checked_sub(1)
                .and_then(|last| ids.get(last));
            last == Some(&planned.last)
        };
        if !self.protocol.repeats_requests() || planned.is_some_and(holds) {
            return None;
        }
        let records = self.parts(entries).first()?.len();
        let last = ids.get(records.checked_sub(1)?)?.clone();
        Some(Planned { records, last })
    }
}

#[async_trait]
impl<P: Protocol> Output for Service<P> {
    fn name(&self) -> &OutputName {
        &self.name
    }

    async fn check(&mut self) -> Result<String> {
        self.protocol.prepare().await?;
        self.protocol.check().await
    }

    async fn prepare(&mut self) -> Result<()> {
        self.letters.prepare().await?;
        self.protocol.prepare().await
    }

    async fn deliver(&mut self, entries: &[Entry], checkpoint: Option<&[u8]>) -> Result<Delivered> {
        let mut checkpoint = checkpoint.map_or_else(|| Ok(Checkpoint::default()), decode)?;
        let ids: Vec<String> = entries.iter().map(Entry::id).collect();
        let Some(first) = ids.first() else {
            return confirm(0, 0, &checkpoint);
        };
        checkpoint.letters.keep_those_of(&ids);
        if !self.protocol.repeats_requests() {
            // It did, before it was configured otherwise.
            checkpoint.request = None;
        }
        if checkpoint.letters.are_due() {
            let letters = &mut checkpoint.letters;
            let written = self.letters.write(letters, &entries[0]).await?;
            // Up to the last of them there is nothing that was not accepted.
            let last = ids.iter().position(|id| Some(id) == written.last());
            let lines = last.map_or(0, |last| last + 1);
            for id in &ids[..lines] {
                self.settled.remove(id);
            }
            return confirm(lines, written.len(), &checkpoint);
        }
        if !self.settled.contains_key(first) {
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
            if let Some(request) = self.plan(entries, &ids, checkpoint.request.as_ref()) {
                checkpoint.request = Some(request);
                return confirm(0, 0, &checkpoint);
            }
            if let Some(planned) = &checkpoint.request {
                let now = planned.records;
                let refused = self.send_planned(&entries[..now], &ids[..now]).await?;
                if refused && let Some(last) = ids.get((now / 2).saturating_sub(1)) {
                    checkpoint.request = Some(Planned {
                        records: now / 2,
                        last: last.clone(),
                    });
                    return confirm(0, 0, &checkpoint);
                }
            } else if let Err(error) = self.send(entries, &ids).await {
                if !self.settled.contains_key(first) {
                    return Err(error);
                }
                self.failure = Some(error);
            }
        }
        let settled = ids.iter().take_while(|id| self.settled.contains_key(*id));
        let settled = settled.count();
        let of_entries = std::iter::zip(&entries[..settled], &ids);
        let refused = of_entries.filter_map(|(entry, id)| match self.settled.get(id) {
            Some(Verdict::Refused(refusal)) => Some((entry, id.as_str(), refusal)),
            _ => None,
        });
        self.letters.address(&mut checkpoint.letters, refused);
        if checkpoint.letters.are_due() {
            return confirm(0, 0, &checkpoint);
        }
        for id in &ids[..settled] {
            self.settled.remove(id);
        }
        confirm(settled, 0, &checkpoint)
    }
}

fn confirm(lines: usize, dead: usize, checkpoint: &Checkpoint) -> Result<Delivered> {
    let checkpoint = serde_json::to_vec(checkpoint)
        .map_err(|error| Error::internal("a checkpoint is not JSON").with_source(error))?;
    Ok(Delivered {
        lines,
        dead,
        checkpoint,
    })
}

fn decode(bytes: &[u8]) -> Result<Checkpoint> {
    serde_json::from_slice(bytes).map_err(|error| {
        Error::new(
            ErrorKind::State,
            "the spool's checkpoint of an output cannot be understood",
            "Another kind of output had this name, or the state is damaged. Give the output a new \
             name: it will get everything that is still spooled.",
        )
        .with_source(error)
    })
}
