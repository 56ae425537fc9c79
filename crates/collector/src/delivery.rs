//! Delivery from the spool to the outputs: one worker each, in order and at its own pace. A record
//! leaves the spool when every output has confirmed it.
//!
//! An output that fails holds up no other, nor the reading of the log: what it lacks waits in the
//! spool until it works again. Reading and delivery go on at the same time and share the
//! [`Progress`].

pub(crate) mod backpressure;
mod progress;
mod retry;
mod route;
mod site_names;
mod worker;

use std::pin::pin;

use confluence_audit_core::Runtime;
use futures_util::future::{Either, select, try_join_all};

use self::worker::{Context, OutputWorker};
use crate::metrics::Counters;
use crate::spool::Spool;
use crate::{Error, Result};

pub use self::progress::{OutputFailure, OutputStatus, Progress};
pub use self::retry::DeliveryRetry;
pub use self::route::{Route, Source};
pub use self::site_names::SiteNames;
pub use crate::output::OutputContext;

/// All outputs of a run: one worker each.
pub struct Delivery {
    workers: Vec<OutputWorker>,
    progress: Progress,
}

impl Delivery {
    /// Makes the outputs ready, before anything is read for them. One that cannot be used has
    /// failed like one that fails later.
    ///
    /// # Errors
    /// What the spool can fail with.
    pub async fn prepare(
        routes: Vec<Route>,
        spool: &dyn Spool,
        counters: &Counters,
    ) -> Result<Self> {
        let names = routes.iter().map(|route| route.output.name().clone());
        let names: Vec<_> = names.collect();
        let outputs = routes.iter().map(|route| {
            let name = route.output.name().clone();
            let counters = counters.output(name.as_str());
            OutputStatus::new(name, route.display_name.clone(), counters)
        });
        let progress = Progress::new(outputs.collect());
        let mut workers = Vec::with_capacity(routes.len());
        for (index, route) in routes.into_iter().enumerate() {
            // Known before anything is committed, it gets whatever is committed, ready or not.
            let state = spool.register(route.output.name()).await?;
            let counters = counters.output(route.output.name().as_str());
            let mut worker = OutputWorker::new(route, state, counters, index);
            worker.prepare(&progress).await;
            workers.push(worker);
        }
        spool.retain(&names).await?;
        let delivery = Self { workers, progress };
        // Where nothing goes on, the failures themselves are the next that is said.
        if !delivery.has_stopped() {
            for worker in &delivery.workers {
                worker.warn_of_failure();
            }
        }
        Ok(delivery)
    }

    /// What those who commit records tell the outputs by, and see how far they are.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Delivers what waits and what is committed meanwhile, each output at its own pace, until the
    /// [`Progress`] [stops](Progress::stop) it. What each may do about failures is for `retry` to
    /// say.
    ///
    /// Dropped at any instant it loses nothing: the next run finds out what had arrived.
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
            progress: &self.progress,
            retry,
            runtime,
        };
        try_join_all(self.workers.iter_mut().map(|worker| worker.run(&context))).await?;
        Ok(())
    }

    /// Delivers while `work` goes on, and then until each output has all that was committed or is
    /// given up on.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_beside<T>(
        &mut self,
        work: impl Future<Output = T>,
        spool: &dyn Spool,
        retry: DeliveryRetry,
        runtime: &dyn Runtime,
    ) -> Result<T> {
        let progress = self.progress();
        let work = async {
            let done = work.await;
            progress.settled().await;
            done
        };
        match select(pin!(work), pin!(self.run(spool, retry, runtime))).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right((stopped, work)) => {
                // The spool's failure ends the work too: nothing can be committed either.
                stopped?;
                Ok(work.await)
            }
        }
    }

    /// Delivers all that waits, but for what outputs lack that fail or have failed.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn drain(&mut self, spool: &dyn Spool, runtime: &dyn Runtime) -> Result<()> {
        self.progress.look_again();
        self.run_beside(async {}, spool, DeliveryRetry::RUN, runtime)
            .await
    }

    /// Whether every output has failed, and whatever is read now would have nowhere to go.
    pub fn has_stopped(&self) -> bool {
        self.workers.iter().all(OutputWorker::has_failed)
    }

    /// Why outputs failed, in their order. The next [`run`](Self::run) tries them again.
    pub fn take_failures(&mut self) -> Vec<Error> {
        let progress = &self.progress;
        let workers = self.workers.iter_mut();
        workers
            .filter_map(|worker| worker.take_failure(progress))
            .collect()
    }
}

#[cfg(test)]
mod tests;
