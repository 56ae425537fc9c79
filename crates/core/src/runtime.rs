//! The runtime: clock, sleep and randomness, handed in.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::time::Timestamp;

/// What the library needs from the world besides the network.
///
/// A program passes [`SystemRuntime`]; a test passes one whose clock it moves by hand.
#[async_trait]
pub trait Runtime: Send + Sync + fmt::Debug {
    /// The wall clock. It may jump; nothing here relies on its running forward.
    fn now(&self) -> Timestamp;

    /// Returns when `duration` has passed.
    async fn sleep(&self, duration: Duration);

    /// A number from 0 (inclusive) to 1 (exclusive), to spread retries and refreshes apart. It
    /// never guards a secret.
    fn random(&self) -> f64;
}

/// The host's clock, tokio's timer and a thread-local generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRuntime;

#[async_trait]
impl Runtime for SystemRuntime {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the clock is handed in"
    )]
    fn now(&self) -> Timestamp {
        std::time::SystemTime::now().into()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is where sleep is handed in"
    )]
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is where randomness is handed in"
    )]
    fn random(&self) -> f64 {
        fastrand::f64()
    }
}
