//! What systemd is told: that the daemon is ready, how it stands, and that it gets on.
//!
//! Nothing here has a thread or a timer of its own: the watchdog is fed by the loop, and only when
//! the loop has seen that its parts move. Without systemd nobody listens, and nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::Instant;

/// The way to systemd.
#[derive(Debug)]
pub(crate) struct Systemd {
    watchdog: Option<Watchdog>,
    status: String,
}

#[derive(Debug)]
struct Watchdog {
    /// Fed so often, the watchdog never bites by mistake.
    every: Duration,
    due: Instant,
}

impl Systemd {
    pub(crate) fn new() -> Self {
        let watchdog = sd_notify::watchdog_enabled().map(|limit| Watchdog {
            every: limit / 3,
            due: Instant::now(),
        });
        Self {
            watchdog,
            status: String::new(),
        }
    }

    /// How it stands, if that is news.
    pub(crate) fn status(&mut self, status: String) {
        if status != self.status {
            tell(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// When the watchdog is to be fed next.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.watchdog.as_ref().map(|watchdog| watchdog.due)
    }

    /// It has got on.
    pub(crate) fn feed(&mut self) {
        if let Some(watchdog) = &mut self.watchdog {
            tell(&[NotifyState::Watchdog]);
            watchdog.due = Instant::now() + watchdog.every;
        }
    }

    /// It has not got on, and is asked again soon.
    pub(crate) fn starve(&mut self) {
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.due = Instant::now() + watchdog.every / 2;
        }
    }
}

/// It is up, also after it has read its configuration again.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// It reads its configuration again, until it is [`ready`].
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!("the monotonic clock cannot be read: {error}"),
    }
}

/// It ends.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("systemd cannot be told how it stands: {error}");
    }
}
