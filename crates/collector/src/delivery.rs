//! From the spool into the outputs: each drains it in order, at its own pace, and a record leaves
//! the spool when every output has confirmed it.
//!
//! An output that fails holds up no other, nor the reading of the log: what it lacks waits in the
//! spool until it works again. Reading and delivery go on at the same time and tell each other
//! what they must by the [`Progress`].

pub(crate) mod backpressure;
mod progress;
mod retry;
mod route;
mod site_names;
mod target;
mod worker;

use confluence_audit_core::Runtime;
use futures_util::future::try_join_all;

use self::progress::Phase;
use self::worker::{Context, OutputWorker};
use crate::output::OutputName;
use crate::spool::Spool;
use crate::{Error, Result};

pub use self::progress::{Failed, OutputStatus, Progress};
pub use self::retry::DeliveryRetry;
pub use self::route::{Route, Source};
pub use self::site_names::SiteNames;
pub use self::target::Target;
pub use crate::output::OutputContext;

/// All outputs, and how far each has come.
pub struct Delivery {
    routes: Vec<OutputWorker>,
    site_names: SiteNames,
    progress: Progress,
}

impl Delivery {
    /// Makes the outputs ready, before anything is read for them. One that cannot be used has
    /// failed like one that fails later.
    ///
    /// # Errors
    /// What the spool can fail with.
    pub async fn prepare(routes: Vec<Route>, spool: &dyn Spool) -> Result<Self> {
        let names: Vec<OutputName> = routes
            .iter()
            .map(|route| route.output.name().clone())
            .collect();
        let progress = Progress::new(names.iter().cloned().map(OutputStatus::new).collect());
        let mut draining = Vec::with_capacity(routes.len());
        for (index, route) in routes.into_iter().enumerate() {
            // Known before anything is committed, it gets whatever is committed, ready or not.
            let state = spool.register(route.output.name()).await?;
            let mut route = OutputWorker::new(route, state, index);
            route.prepare(&progress).await;
            draining.push(route);
        }
        spool.retain(&names).await?;
        let delivery = Self {
            routes: draining,
            site_names: SiteNames::default(),
            progress,
        };
        // Where nothing goes on, the failures themselves are the next that is said.
        if !delivery.has_stopped() {
            for route in &delivery.routes {
                route.warn_of_failure();
            }
        }
        Ok(delivery)
    }

    /// Has lines call the sites so.
    pub fn set_site_names(&mut self, site_names: SiteNames) {
        self.site_names = site_names;
    }

    /// What those who commit records tell the outputs by, and see how they stand.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Delivers what waits and what is committed meanwhile, each output at its own pace, until the
    /// [`Progress`] ends it. What each may do about failures is for `retry` to say.
    ///
    /// # Errors
    /// What the spool can fail with. Nothing that was not confirmed leaves it.
    pub async fn run(
        &mut self,
        spool: &dyn Spool,
        retry: DeliveryRetry,
        runtime: &dyn Runtime,
    ) -> Result<()> {
        let context = Context {
            spool,
            site_names: &self.site_names,
            progress: &self.progress,
            retry,
            runtime,
        };
        try_join_all(self.routes.iter_mut().map(|route| route.run(&context))).await?;
        Ok(())
    }

    /// Delivers all that waits, but for what outputs lack that fail or have failed.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn drain(&mut self, spool: &dyn Spool, runtime: &dyn Runtime) -> Result<()> {
        self.progress.finish();
        self.run(spool, DeliveryRetry::RUN, runtime).await
    }

    /// Has each output get what `source` says from now on; `None` leaves it as it is.
    pub fn set_sources(&mut self, source: impl Fn(&OutputName) -> Option<Source>) {
        for route in &mut self.routes {
            if let Some(source) = source(route.name()) {
                route.set_source(source);
            }
        }
    }

    /// Lets the next [`run`](Self::run) go on until the [`Progress`] ends it once more.
    pub fn reopen(&self) {
        self.progress.set_phase(Phase::Open);
    }

    /// Whether every output has failed, and whatever is read now would have nowhere to go.
    pub fn has_stopped(&self) -> bool {
        self.routes.iter().all(OutputWorker::has_failed)
    }

    /// Why outputs failed, in their order. The next [`run`](Self::run) tries them again.
    pub fn take_failures(&mut self) -> Vec<Error> {
        let progress = &self.progress;
        let failures = self.routes.iter_mut();
        failures
            .filter_map(|route| route.take_failure(progress))
            .collect()
    }
}

#[cfg(test)]
mod tests;
