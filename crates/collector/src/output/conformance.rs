//! Conformance suite: cases that every output passes.
//!
//! An output is tested together with the place that it delivers to. The test says how the place is
//! made, what has arrived there, and how it can be made to misbehave; the cases play delivery:
//! they hand over what is next, confirm what came back, and let the process die in between.

#![allow(
    clippy::expect_used,
    reason = "a test fails by panicking, and says so by being one"
)]

use async_trait::async_trait;

use super::{Delivered, Entry, Output};
use crate::{Error, ErrorKind, Result};

/// A record that the place is to refuse holds this.
pub const POISON: &str = "poison";

/// An output that needs more steps than this does not come to an end.
const STEPS: usize = 500;

/// Where an output delivers to.
#[async_trait]
pub trait Destination: Send {
    /// The output, as another process makes it that begins from nothing but the configuration.
    fn output(&self) -> Box<dyn Output>;

    /// The lines that are there, in the order of their arrival.
    async fn arrived(&mut self) -> Vec<String>;

    /// The place's ways to misbehave.
    fn troubles(&self) -> &'static [Trouble];

    /// Has it misbehave, or do so no more.
    async fn set_trouble(&mut self, trouble: Option<Trouble>);

    /// What happens to records that were delivered and whose confirmation was lost.
    fn promise(&self) -> Promise;

    /// The lines of the file of dead letters. `None` where nothing is ever refused: then it takes
    /// records that hold [`POISON`] as well.
    fn dead_letters(&self) -> Option<Vec<String>>;

    /// The longest line that it takes. `None` where there is no bound.
    fn longest_line(&self) -> Option<usize>;
}

/// A way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It cannot be reached.
    Down,
    /// It takes long, but no longer than is waited for.
    Slow,
    /// It says that it has too much to do, and asks for a second's peace.
    Busy,
    /// It takes what it is given, and the answer gets lost. Once.
    LosesAnswer,
}

/// What becomes of a record that is delivered again, since its confirmation was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// It is there once.
    ExactlyOnce,
    /// It is there at least once: nothing in the protocol tells the place that it has it.
    AtLeastOnce,
}

/// Runs every case, each with a place of its own that `new` makes.
///
/// # Panics
///
/// When the output breaks a promise.
pub async fn run<P: Destination>(mut new: impl AsyncFnMut() -> P) {
    records_arrive_whole_and_in_order(new().await).await;
    a_death_between_delivery_and_confirmation_loses_nothing(&mut new).await;
    a_poisoned_record_holds_up_nothing_and_is_kept_once(&mut new).await;
    an_oversized_record_arrives_or_is_kept(new().await).await;
    let troubles = new().await.troubles();
    for trouble in troubles {
        nothing_is_lost_in_trouble(new().await, *trouble).await;
        nothing_is_lost_in_trouble_and_death(new().await, *trouble).await;
    }
}

/// A delivery: what is due, and what the spool keeps.
struct Delivery {
    due: Vec<Entry>,
    checkpoint: Option<Vec<u8>>,
    dead: usize,
    steps: usize,
    /// How much is given at a time.
    most: usize,
}

impl Delivery {
    fn of(entries: Vec<Entry>) -> Self {
        Self {
            due: entries,
            checkpoint: None,
            dead: 0,
            steps: 0,
            most: 7,
        }
    }

    /// What is given next: not everything, so that there are several batches.
    fn batch(&self) -> &[Entry] {
        &self.due[..self.due.len().min(self.most)]
    }

    async fn attempt(&mut self, output: &mut dyn Output) -> Result<Delivered> {
        self.steps += 1;
        assert!(self.steps < STEPS, "delivery does not come to an end");
        let batch = self.batch().to_vec();
        let done = output.deliver(&batch, self.checkpoint.as_deref()).await?;
        assert!(done.lines <= batch.len(), "more than there was");
        assert!(done.dead <= done.lines, "dead ones are delivered ones");
        Ok(done)
    }

    fn confirm(&mut self, done: Delivered) {
        self.due.drain(..done.lines);
        self.dead += done.dead;
        self.checkpoint = Some(done.checkpoint);
    }

    /// Delivers all, unless the output fails.
    async fn finish(&mut self, output: &mut dyn Output) -> Result<()> {
        output.prepare().await?;
        while !self.due.is_empty() {
            let done = self.attempt(output).await?;
            self.confirm(done);
        }
        Ok(())
    }

    /// Delivers all, as a process that dies after the step of this number, before its confirmation,
    /// and its successor. Whether there was such a step.
    async fn finish_with_a_death<P: Destination>(&mut self, place: &P, at: usize) -> bool {
        let mut output = place.output();
        output.prepare().await.expect("a good place");
        let mut died = false;
        while !self.due.is_empty() {
            let done = self.attempt(&mut *output).await.expect("a good place");
            if self.steps == at {
                died = true;
                // Meanwhile more has come.
                self.most = 10;
                output = place.output();
                output.prepare().await.expect("a good place");
            } else {
                self.confirm(done);
            }
        }
        died
    }
}

/// Records, of which every third has a twin: the same to the byte, and another record all the same.
fn records(count: i64) -> Vec<Entry> {
    let mut records = Vec::new();
    for number in 0..count {
        let line = format!(r#"{{"number":{number},"text":"Zürich 😀 \"a\\b\" \u0007"}}"#);
        let entry = Entry::example(line, number);
        records.push(entry.clone());
        if number % 3 == 0 {
            let ordinal = 2;
            records.push(Entry { ordinal, ..entry });
        }
    }
    records
}

fn poisoned(number: i64) -> Entry {
    Entry::example(
        format!(r#"{{"number":{number},"text":"{POISON}"}}"#),
        number,
    )
}

fn lines(entries: &[Entry]) -> Vec<String> {
    let text = |entry: &Entry| String::from_utf8_lossy(&entry.line).into_owned();
    entries.iter().map(text).collect()
}

/// What arrived is what was to, as far as the place's protocol can promise it.
async fn assert_arrived<P: Destination>(place: &mut P, expected: &[Entry], when: &str) {
    let arrived = place.arrived().await;
    let expected = lines(expected);
    match place.promise() {
        Promise::ExactlyOnce => assert_eq!(arrived, expected, "{when}"),
        Promise::AtLeastOnce => {
            // Without its repetitions it is what was to arrive; a repetition begins with something
            // that was there, and goes on in order.
            let mut next = 0;
            for line in &arrived {
                if expected.get(next) == Some(line) {
                    next += 1;
                } else {
                    let again = expected[..next].iter().rposition(|it| it == line);
                    next = again.unwrap_or_else(|| panic!("{when}: {line} out of order")) + 1;
                }
            }
            assert_eq!(next, expected.len(), "{when}: {arrived:?}");
        }
    }
}

async fn records_arrive_whole_and_in_order<P: Destination>(mut place: P) {
    let records = records(20);
    let mut delivery = Delivery::of(records.clone());
    let mut output = place.output();
    output.check().await.expect("it can be used");
    delivery.finish(&mut *output).await.expect("a good place");
    assert_eq!(place.arrived().await, lines(&records), "in order");
    assert_eq!(delivery.dead, 0);
    let done = output.deliver(&[], delivery.checkpoint.as_deref()).await;
    let done = done.expect("nothing is due, nothing is wrong");
    assert_eq!((done.lines, done.dead), (0, 0));
    assert_eq!(place.arrived().await, lines(&records), "nothing more");
    output.check().await.expect("it can be used");
}

async fn a_death_between_delivery_and_confirmation_loses_nothing<P: Destination>(
    new: &mut impl AsyncFnMut() -> P,
) {
    for at in 1.. {
        let mut place = new().await;
        let records = records(10);
        let mut delivery = Delivery::of(records.clone());
        let died = delivery.finish_with_a_death(&place, at).await;
        assert_arrived(&mut place, &records, &format!("death at step {at}")).await;
        if !died {
            break;
        }
    }
}

async fn a_poisoned_record_holds_up_nothing_and_is_kept_once<P: Destination>(
    new: &mut impl AsyncFnMut() -> P,
) {
    for at in 0.. {
        let mut place = new().await;
        let good = records(10);
        let mut all = good.clone();
        let poison: Vec<Entry> = (100..104).map(poisoned).collect();
        // The first of all, two in a row, and the last of all.
        all.insert(0, poison[0].clone());
        all.insert(5, poison[1].clone());
        all.insert(6, poison[2].clone());
        all.push(poison[3].clone());
        let mut delivery = Delivery::of(all.clone());
        let died = delivery.finish_with_a_death(&place, at).await;
        let when = format!("poison, and death at step {at}");
        if let Some(letters) = place.dead_letters() {
            assert_arrived(&mut place, &good, &when).await;
            assert_eq!(letters.len(), poison.len(), "{when}: {letters:?}");
            assert_eq!(delivery.dead, poison.len(), "{when}");
            for (letter, entry) in std::iter::zip(letters, &poison) {
                let letter: serde_json::Value = serde_json::from_str(&letter).expect("JSON");
                assert_eq!(letter["id"], entry.id(), "{when}");
                assert_eq!(
                    letter["record"],
                    lines(std::slice::from_ref(entry))[0],
                    "{when}"
                );
                assert!(letter["reason"].is_string(), "{when}");
            }
        } else {
            assert_arrived(&mut place, &all, &when).await;
            assert_eq!(delivery.dead, 0, "{when}");
        }
        if at > 0 && !died {
            break;
        }
    }
}

async fn an_oversized_record_arrives_or_is_kept<P: Destination>(mut place: P) {
    let long = place.longest_line().unwrap_or(3 << 20) + 1;
    let text = "x".repeat(long);
    let long = Entry::example(format!(r#"{{"number":100,"text":"{text}"}}"#), 100);
    let good = records(6);
    let mut all = good.clone();
    all.insert(3, long);
    let mut delivery = Delivery::of(all.clone());
    let mut output = place.output();
    delivery.finish(&mut *output).await.expect("a good place");
    if place.longest_line().is_some() {
        assert_arrived(&mut place, &good, "the others").await;
        let letters = place.dead_letters().expect("what is too long is refused");
        assert_eq!(letters.len(), 1, "the long one is kept");
        assert_eq!(delivery.dead, 1);
    } else {
        assert_arrived(&mut place, &all, "the long one and the others").await;
    }
}

async fn nothing_is_lost_in_trouble<P: Destination>(mut place: P, trouble: Trouble) {
    let records = records(20);
    let mut delivery = Delivery::of(records.clone());
    let mut output = place.output();
    output.prepare().await.expect("a good place");
    let done = delivery.attempt(&mut *output).await.expect("a good place");
    delivery.confirm(done);
    place.set_trouble(Some(trouble)).await;
    fail(&mut delivery, &mut *output, trouble).await;
    place.set_trouble(None).await;
    delivery.finish(&mut *output).await.expect("it is over");
    assert_arrived(&mut place, &records, &format!("{trouble:?}")).await;
}

/// The same, and what comes after it is another process.
async fn nothing_is_lost_in_trouble_and_death<P: Destination>(mut place: P, trouble: Trouble) {
    let records = records(20);
    let mut delivery = Delivery::of(records.clone());
    place.set_trouble(Some(trouble)).await;
    let mut output = place.output();
    let ready = output.prepare().await;
    ready.expect("a peer that is out of reach is no failure yet");
    fail(&mut delivery, &mut *output, trouble).await;
    place.set_trouble(None).await;
    let mut output = place.output();
    delivery.finish(&mut *output).await.expect("it is over");
    let when = format!("{trouble:?} and a death");
    assert_arrived(&mut place, &records, &when).await;
}

/// Delivers until the trouble shows, or to the end where it is none.
async fn fail(delivery: &mut Delivery, output: &mut dyn Output, trouble: Trouble) {
    let failed = delivery.finish(output).await;
    if trouble == Trouble::Slow {
        return failed.expect("slow is not broken");
    }
    let error: Error = failed.expect_err("the trouble shows");
    assert_eq!(error.kind(), ErrorKind::OutputUnavailable, "{error:?}");
    assert!(
        !delivery.due.is_empty(),
        "{trouble:?}: nothing is confirmed"
    );
    if trouble == Trouble::Busy {
        let asked = error.retry_after();
        assert_eq!(asked, Some(std::time::Duration::from_secs(1)));
    }
}
