//! Comparison of the site's log, record by record, with what the files hold.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use confluence_audit_core::{RawRecord, Timestamp, printable};
use serde_json::Value;

use super::holdings::{Held, Holdings, Untimed};
use super::lines::{Lines, Next};
use super::{Extra, Gap, SHOWN, Verified};
use confluence_audit_core::read::TimedRecord;

/// The site's log on its way past what the files hold.
pub(super) struct Comparison {
    pub(super) holdings: Holdings,
    pub(super) done: Verified,
    /// The gap that the last record was in.
    gap: Option<Gap>,
    /// All gaps that are not listed, in one.
    unlisted: Option<Gap>,
    /// How many missing records may still be described.
    left: usize,
}

impl Comparison {
    /// Both ends of the window are in it.
    pub(super) fn new(
        holdings: Holdings,
        (from, to): (Option<Timestamp>, Option<Timestamp>),
    ) -> Self {
        Self {
            left: holdings.show,
            holdings,
            done: Verified {
                from,
                to,
                ..Verified::default()
            },
            gap: None,
            unlisted: None,
        }
    }

    /// Takes the next record of the site, none of which is older than the one before.
    pub(super) fn take(&mut self, placed: &TimedRecord) {
        self.done.on_site += 1;
        let fingerprint = placed.record.fingerprint();
        let held = if let Some(time) = placed.record.time() {
            self.holdings.timed.get_mut(&(time, fingerprint))
        } else {
            self.done.untimed += 1;
            let untimed = self.holdings.untimed.get_mut(&fingerprint);
            untimed.map(|untimed| &mut untimed.held)
        };
        match held {
            Some(held) if held.matched < held.copies => {
                held.matched += 1;
                self.end_gap();
            }
            _ => self.lack(placed),
        }
    }

    fn lack(&mut self, placed: &TimedRecord) {
        self.done.missing += 1;
        let gap = self.gap.get_or_insert_with(|| Gap {
            from: placed.time,
            to: placed.time,
            records: 0,
            shown: Vec::new(),
        });
        gap.records += 1;
        gap.to = placed.time;
        if self.left > 0 {
            self.left -= 1;
            gap.shown.push((placed.time, describe(&placed.record)));
        }
    }

    fn end_gap(&mut self) {
        let Some(gap) = self.gap.take() else {
            return;
        };
        self.done.gap_count += 1;
        if self.done.gaps.len() < self.holdings.show {
            self.done.gaps.push(gap);
        } else if let Some(unlisted) = &mut self.unlisted {
            unlisted.records += gap.records;
            unlisted.to = gap.to;
        } else {
            self.unlisted = Some(gap);
        }
    }

    fn is_inside(&self, time: Timestamp) -> bool {
        self.done.from.is_none_or(|from| time >= from) && self.done.to.is_none_or(|to| time <= to)
    }

    /// Whether the files hold a record of which the site has no copy at all.
    pub(super) fn has_unknown(&self) -> bool {
        let mut timed = self.holdings.timed.iter();
        timed.any(|((time, _), held)| held.matched == 0 && self.is_inside(*time))
    }

    /// What is left in the files. From `retained` on the site has kept everything.
    pub(super) fn finish(mut self, retained: Option<Timestamp>) -> Verified {
        self.end_gap();
        self.done.gaps.extend(self.unlisted.take());
        let mut extras = Vec::new();
        for ((time, fingerprint), held) in &self.holdings.timed {
            if !self.is_inside(*time) {
                self.done.outside += u64::from(held.copies);
                continue;
            }
            self.done.in_files += u64::from(held.copies);
            if held.matched == 0 && retained.is_some_and(|retained| *time < retained) {
                self.done.forgotten += u64::from(held.copies);
            } else if held.matched < held.copies {
                extras.push((Some(*time), *fingerprint, *held));
            }
        }
        for (fingerprint, Untimed { held, after }) in &self.holdings.untimed {
            if held.matched == 0 && after.is_some_and(|after| !self.is_inside(after)) {
                self.done.outside += u64::from(held.copies);
                continue;
            }
            self.done.in_files += u64::from(held.copies);
            self.done.untimed += u64::from(held.copies);
            if held.matched < held.copies {
                extras.push((None, *fingerprint, *held));
            }
        }
        let too_many = |held: &Held| held.copies - held.matched;
        let all = extras.iter().map(|(_, _, held)| u64::from(too_many(held)));
        self.done.extra = all.sum();
        extras.sort_unstable_by_key(|(time, fingerprint, _)| (*time, *fingerprint));
        extras.truncate(self.holdings.show);
        let wanted = extras.iter().map(|(_, _, held)| (held.file, held.line));
        let mut described = self.describe_lines(&wanted.collect());
        self.done.extras = extras
            .iter()
            .map(|(time, _, held)| Extra {
                time: *time,
                copies: too_many(held),
                file: self.holdings.name(held.file),
                line: held.line,
                what: described.remove(&(held.file, held.line)),
            })
            .collect();
        self.done.torn = self.holdings.torn;
        self.done.torn_lines = std::mem::take(&mut self.holdings.torn_lines);
        self.done
    }

    /// Reads these lines a second time: to keep what each record says for the few that will be
    /// shown would cost too much. A file that was rotated away since goes without.
    fn describe_lines(&self, wanted: &HashSet<(u32, u64)>) -> HashMap<(u32, u64), String> {
        let mut last: HashMap<u32, u64> = HashMap::new();
        for (file, line) in wanted {
            let last = last.entry(*file).or_insert(0);
            *last = (*last).max(*line);
        }
        let mut described = HashMap::new();
        for (file, last) in last {
            let path = self.holdings.files.get(file as usize);
            let Some(path) = path.and_then(|source| source.path.as_deref()) else {
                continue;
            };
            let Ok(mut lines) = Lines::open(path) else {
                continue;
            };
            while lines.number() < last
                && let Ok(Next::Line(line)) = lines.next()
            {
                let line = Bytes::copy_from_slice(line);
                if wanted.contains(&(file, lines.number()))
                    && let Ok(record) = RawRecord::parse(line)
                    && self.is_held_at(&record, file, lines.number())
                {
                    described.insert((file, lines.number()), describe(&record));
                }
            }
        }
        described
    }

    /// Whether this is still the record that was read there the first time.
    fn is_held_at(&self, record: &RawRecord, file: u32, line: u64) -> bool {
        let fingerprint = record.fingerprint();
        let held = match record.time() {
            Some(time) => self.holdings.timed.get(&(time, fingerprint)).copied(),
            None => self.holdings.untimed.get(&fingerprint).map(|it| it.held),
        };
        held.is_some_and(|held| (held.file, held.line) == (file, line))
    }
}

/// What a record is about, in a few words that are safe to look at.
fn describe(record: &RawRecord) -> String {
    let value: Value = record.decode().unwrap_or_default();
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    let summary = text("/summary");
    let (name, kind) = (
        text("/affectedObject/name"),
        text("/affectedObject/objectType"),
    );
    let described = match (summary, name) {
        ("", "") => record.as_str().to_owned(),
        (summary, "") => summary.to_owned(),
        (summary, name) => format!("{summary}: {name} ({kind})"),
    };
    printable(&described, SHOWN)
}
