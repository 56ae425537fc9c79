//! The same warning of the same site, again and again: said once in a while, and counted.

use std::collections::HashMap;
use std::fmt::{Debug, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// So long a warning is not said again.
const QUIET: Duration = Duration::from_mins(10);

/// So many warnings are remembered; more at once are all said.
const MOST: usize = 4096;

/// What says how often a warning was not said, which is itself never held back.
const TARGET: &str = "confluence_audit::repeats";

/// Lets a warning or an error through once in a while.
pub(super) struct Repeats<L> {
    inner: L,
    said: Mutex<Said>,
}

impl<L> Repeats<L> {
    pub(super) fn new(inner: L) -> Self {
        Self {
            inner,
            said: Mutex::default(),
        }
    }
}

/// When each was said last, and how often it was not said since then.
#[derive(Debug, Default)]
struct Said(HashMap<u64, (Instant, u64)>);

impl Said {
    /// How often it was held back since it was last said, if it is to be said now.
    fn say(&mut self, key: u64, now: Instant) -> Option<u64> {
        if let Some((at, held)) = self.0.get_mut(&key)
            && now.saturating_duration_since(*at) < QUIET
        {
            *held += 1;
            return None;
        }
        if self.0.len() >= MOST {
            let is_fresh = |at: Instant| now.saturating_duration_since(at) < QUIET;
            self.0.retain(|_, (at, _)| is_fresh(*at));
        }
        if self.0.len() >= MOST {
            return Some(0);
        }
        let before = self.0.insert(key, (now, 0));
        Some(before.map_or(0, |(_, held)| held))
    }
}

impl<S: Subscriber, L: Layer<S>> Layer<S> for Repeats<L> {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN || metadata.target() == TARGET {
            return self.inner.on_event(event, context);
        }
        let mut essence = Essence::default();
        event.record(&mut essence);
        let key = essence.key(metadata);
        let held = self
            .said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .say(key, Instant::now());
        let Some(held) = held else {
            return;
        };
        self.inner.on_event(event, context);
        if held > 0 {
            let Essence { site, output, .. } = essence;
            tracing::warn!(
                target: TARGET,
                site, output, held,
                "the same was the case {held} times more since it was last said"
            );
        }
    }

    fn on_register_dispatch(&self, subscriber: &tracing::Dispatch) {
        self.inner.on_register_dispatch(subscriber);
    }

    fn on_layer(&mut self, subscriber: &mut S) {
        self.inner.on_layer(subscriber);
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.inner.register_callsite(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        self.inner.enabled(metadata, context)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.inner.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.inner.on_record(id, values, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.inner.on_close(id, context);
    }
}

/// What makes two events the same: where they are from, whom they are about, and what they say.
/// Where one names its kind, that counts in place of its words, which may hold a request's id.
#[derive(Debug, Default)]
struct Essence {
    site: Option<String>,
    output: Option<String>,
    kind: Option<String>,
    message: Option<String>,
}

impl Essence {
    fn key(&self, metadata: &Metadata<'_>) -> u64 {
        let mut hasher = DefaultHasher::new();
        (metadata.file(), metadata.line()).hash(&mut hasher);
        (&self.site, &self.output).hash(&mut hasher);
        self.kind
            .as_ref()
            .or(self.message.as_ref())
            .hash(&mut hasher);
        hasher.finish()
    }
}

impl Visit for Essence {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let place = match field.name() {
            "site" => &mut self.site,
            "output" => &mut self.output,
            "kind" => &mut self.kind,
            "message" => &mut self.message,
            _ => return,
        };
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(text, "{value:?}");
        *place = Some(text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Writes down what it is told.
    #[derive(Clone, Default)]
    struct Notes(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Notes {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut essence = Essence::default();
            event.record(&mut essence);
            let (site, message) = (essence.site.unwrap_or_default(), essence.message);
            self.0
                .lock()
                .unwrap()
                .push(format!("{site} {}", message.unwrap()));
        }
    }

    #[test]
    fn a_warning_is_said_once_for_each_site_and_passes_are_all_said() {
        let notes = Notes::default();
        let subscriber = tracing_subscriber::registry().with(Repeats::new(notes.clone()));
        tracing::subscriber::with_default(subscriber, || {
            for attempt in 0..3 {
                for site in ["acme", "other"] {
                    tracing::warn!(site, kind = "Server", "failed, request id {attempt}");
                }
                tracing::info!(site = "acme", "pass done");
            }
        });
        let said = notes.0.lock().unwrap().clone();
        let of = |what: &str| said.iter().filter(|line| line.contains(what)).count();
        assert_eq!((of("acme failed"), of("other failed")), (1, 1), "{said:?}");
        assert_eq!(of("pass done"), 3);
    }

    #[test]
    fn after_a_while_it_is_said_again_with_how_often_it_was_not() {
        let (mut said, now) = (Said::default(), Instant::now());
        assert_eq!(said.say(1, now), Some(0));
        assert_eq!(said.say(1, now), None);
        assert_eq!(said.say(1, now + QUIET / 2), None);
        assert_eq!(said.say(2, now), Some(0));
        assert_eq!(said.say(1, now + QUIET), Some(2));
        assert_eq!(said.say(1, now + QUIET), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut said, now) = (Said::default(), Instant::now());
        for key in 0..10_000 {
            assert_eq!(said.say(key, now), Some(0));
        }
        assert_eq!(said.0.len(), MOST);
        assert_eq!(said.say(0, now), None);
        assert_eq!(said.say(10_001, now + QUIET), Some(0));
        assert_eq!(said.0.len(), 1);
    }
}
