//! Suppresses repeats: the same warning of the same site is logged once in ten minutes, and
//! counted.

use std::collections::HashMap;
use std::fmt::{Debug, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// So long a warning is not logged again.
const QUIET: Duration = Duration::from_mins(10);

/// So many warnings are remembered; more at once are all logged.
const MOST: usize = 4096;

/// What tells how often a warning was suppressed, which is itself never suppressed.
const TARGET: &str = "confluence_audit::repeats";

/// Lets a warning or an error through to all layers once in a while. It belongs outside of those
/// that write, so that its own line comes behind theirs.
#[derive(Debug, Default)]
pub(super) struct Repeats(Mutex<Logged>);

/// When each was logged last, and how often it was suppressed since then.
#[derive(Debug, Default)]
struct Logged(HashMap<u64, (Instant, u64)>);

impl Logged {
    /// Whether it is to be logged now.
    fn is_due(&mut self, key: u64, now: Instant) -> bool {
        if let Some((at, suppressed)) = self.0.get_mut(&key) {
            if now.saturating_duration_since(*at) < QUIET {
                *suppressed += 1;
                return false;
            }
            *at = now;
            return true;
        }
        if self.0.len() >= MOST {
            let is_fresh = |at: Instant| now.saturating_duration_since(at) < QUIET;
            self.0.retain(|_, (at, _)| is_fresh(*at));
        }
        if self.0.len() < MOST {
            self.0.insert(key, (now, 0));
        }
        true
    }

    /// How often it was suppressed before it became due.
    fn take_suppressed(&mut self, key: u64) -> u64 {
        let entry = self.0.get_mut(&key);
        entry.map_or(0, |(_, suppressed)| std::mem::take(suppressed))
    }
}

impl Repeats {
    fn logged(&self) -> MutexGuard<'_, Logged> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let Some(essence) = Essence::of(event) else {
            return true;
        };
        let key = essence.key(event.metadata());
        self.logged().is_due(key, Instant::now())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(essence) = Essence::of(event) else {
            return;
        };
        let held = self.logged().take_suppressed(essence.key(event.metadata()));
        if held > 0 {
            let Essence { site, output, .. } = essence;
            tracing::warn!(
                target: TARGET,
                site, output, held,
                "the same was the case {held} times more since it was last said"
            );
        }
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
    /// That of a warning or an error; `None` for what is never suppressed.
    fn of(event: &Event<'_>) -> Option<Self> {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN || metadata.target() == TARGET {
            return None;
        }
        let mut essence = Self::default();
        event.record(&mut essence);
        Some(essence)
    }

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

    /// Keeps what it is given.
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
        let subscriber = tracing_subscriber::registry()
            .with(notes.clone())
            .with(Repeats::default());
        tracing::subscriber::with_default(subscriber, || {
            for attempt in 0..3 {
                for site in ["acme", "other"] {
                    tracing::warn!(site, kind = "Server", "failed, request id {attempt}");
                }
                tracing::info!(site = "acme", "pass done");
            }
        });
        let lines = notes.0.lock().unwrap().clone();
        let of = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
        assert_eq!((of("acme failed"), of("other failed")), (1, 1), "{lines:?}");
        assert_eq!(of("pass done"), 3);
    }

    #[test]
    fn after_a_while_it_is_said_again_with_how_often_it_was_not() {
        let (mut logged, now) = (Logged::default(), Instant::now());
        assert!(logged.is_due(1, now));
        assert_eq!(logged.take_suppressed(1), 0);
        assert!(!logged.is_due(1, now));
        assert!(!logged.is_due(1, now + QUIET / 2));
        assert!(logged.is_due(2, now));
        assert!(logged.is_due(1, now + QUIET));
        assert_eq!(logged.take_suppressed(1), 2);
        assert_eq!(logged.take_suppressed(1), 0);
        assert!(!logged.is_due(1, now + QUIET));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut logged, now) = (Logged::default(), Instant::now());
        for key in 0..10_000 {
            assert!(logged.is_due(key, now));
        }
        assert_eq!(logged.0.len(), MOST);
        assert!(!logged.is_due(0, now));
        assert!(logged.is_due(10_001, now + QUIET));
        assert_eq!(logged.0.len(), 1);
    }
}
