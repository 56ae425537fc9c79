//! From the spool into the outputs: each drains it in order, at its own pace, and a record leaves
//! the spool when every output has confirmed it.
//!
//! An output that fails holds up no other, nor the reading of the log. It is left in peace until
//! its failure has been [taken note of](Delivery::take_failures); what it lacks waits in the spool.

mod labels;

use bytes::Bytes;
use confluence_audit_core::RawRecord;
use confluence_audit_formats::{Format, Line};

use crate::output::{Delivered, Output, OutputName};
use crate::spool::{Spool, Spooled};
use crate::{Error, Result, SiteId};

pub use self::labels::Labels;

/// How much an output is given at a time.
const BATCH_RECORDS: usize = 5_000;
const BATCH_BYTES: usize = 8 << 20;

/// An output with what goes to it.
pub struct Route {
    /// The place.
    pub output: Box<dyn Output>,
    /// In which form.
    pub format: Format,
    /// From where.
    pub source: Source,
}

/// Whose records an output gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Those of all sites.
    All,
    /// Those of this site.
    Site(SiteId),
    /// Those of a site that was not found yet, and is none of these. A record of another one may
    /// be its own, from an earlier run: that record waits, and so does what comes behind it.
    Unknown(Vec<SiteId>),
}

impl Source {
    /// Whether a record of `site` is one of its; `None` when that cannot be told.
    pub fn holds(&self, site: &SiteId) -> Option<bool> {
        match self {
            Self::All => Some(true),
            Self::Site(its) => Some(its == site),
            Self::Unknown(others) => others.contains(site).then_some(false),
        }
    }
}

/// All outputs, and how far each has come.
pub struct Delivery {
    routes: Vec<Draining>,
    labels: Labels,
}

struct Draining {
    route: Route,
    checkpoint: Option<Vec<u8>>,
    /// The last number that it confirmed.
    seq: i64,
    delivered: u64,
    /// Something waits for it that it did not get.
    is_behind: bool,
    /// Why it gets nothing at present.
    failure: Option<Error>,
}

impl Delivery {
    /// Makes the outputs ready, before anything is read for them. One that cannot be used has
    /// failed like one that fails later.
    ///
    /// # Errors
    /// What the spool can fail with.
    pub async fn prepare(routes: Vec<Route>, spool: &dyn Spool) -> Result<Self> {
        let mut draining = Vec::with_capacity(routes.len());
        for mut route in routes {
            // Known before anything is committed, it gets whatever is committed, ready or not.
            let state = spool.register(route.output.name()).await?;
            let failure = route.output.prepare().await.err();
            draining.push(Draining {
                route,
                checkpoint: state.checkpoint,
                seq: state.seq,
                delivered: 0,
                is_behind: true,
                failure,
            });
        }
        let delivery = Self {
            routes: draining,
            labels: Labels::default(),
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
    pub fn set_labels(&mut self, labels: Labels) {
        self.labels = labels;
    }

    /// Delivers all that waits, but for what outputs lack that fail or have failed.
    ///
    /// # Errors
    /// What the spool can fail with. Nothing that was not confirmed leaves it.
    pub async fn drain(&mut self, spool: &dyn Spool) -> Result<()> {
        for route in &mut self.routes {
            if route.failure.is_none() {
                route.drain(spool, &self.labels).await?;
            }
        }
        let names: Vec<OutputName> = self
            .routes
            .iter()
            .map(|route| route.route.output.name().clone())
            .collect();
        spool.sweep(&names).await
    }

    /// Tries the outputs again that have failed.
    ///
    /// # Errors
    /// As [`drain`](Self::drain).
    pub async fn retry(&mut self, spool: &dyn Spool) -> Result<()> {
        self.take_failures();
        self.drain(spool).await
    }

    /// Whether every output has failed, and whatever is read now would have nowhere to go.
    pub fn has_stopped(&self) -> bool {
        self.routes.iter().all(|route| route.failure.is_some())
    }

    /// Why outputs failed, in their order. The next [`drain`](Self::drain) tries them again.
    pub fn take_failures(&mut self) -> Vec<Error> {
        let failures = self.routes.iter_mut().map(|route| route.failure.take());
        failures.flatten().collect()
    }

    /// The outputs that did not get all that waited when it was last [drained](Self::drain).
    pub fn behind(&self) -> impl Iterator<Item = &OutputName> {
        let behind = self.routes.iter().filter(|route| route.is_behind);
        behind.map(|route| route.route.output.name())
    }

    /// How many records each output has got since [`prepare`](Self::prepare), by its name.
    pub fn delivered(&self) -> impl Iterator<Item = (&OutputName, u64)> {
        self.routes
            .iter()
            .map(|route| (route.route.output.name(), route.delivered))
    }
}

impl Draining {
    /// Notes the output's failure; fails only with the spool.
    async fn drain(&mut self, spool: &dyn Spool, labels: &Labels) -> Result<()> {
        let name = self.route.output.name().clone();
        self.is_behind = true;
        loop {
            let mut batch = spool.pending(&name, BATCH_RECORDS, BATCH_BYTES).await?;
            let source = &self.route.source;
            let unsure = batch.iter().position(|it| source.holds(&it.site).is_none());
            batch.truncate(unsure.unwrap_or(batch.len()));
            let Some(last) = batch.last().map(|record| record.seq) else {
                self.is_behind = unsure.is_some();
                return Ok(());
            };
            batch.retain(|record| source.holds(&record.site) == Some(true));
            let lines = batch
                .iter()
                .map(|record| line(record, self.route.format, labels));
            let lines: Vec<Line> = lines.collect::<Result<_>>()?;
            let done = match self.deliver(&lines).await {
                Ok(done) => done,
                Err(error) => {
                    self.failure = Some(error);
                    self.warn_of_failure();
                    return Ok(());
                }
            };
            let seq = match done.lines {
                all if all == batch.len() => last,
                0 => self.seq,
                some => batch[some - 1].seq,
            };
            spool.confirm(&name, seq, &done.checkpoint).await?;
            self.seq = seq;
            self.checkpoint = Some(done.checkpoint);
            self.delivered += done.lines as u64;
            let unfit = lines[..done.lines].iter().filter(|line| !line.fits).count();
            if unfit > 0 {
                tracing::warn!(
                    output = %name,
                    records = unfit,
                    "records did not fit the format {}; they were delivered as the site wrote them, \
                     and are marked",
                    self.route.format
                );
            }
        }
    }

    fn warn_of_failure(&self) {
        if let Some(error) = &self.failure {
            tracing::warn!(
                output = %self.route.output.name(),
                "{error}; what it lacks waits in the spool, and all else goes on"
            );
        }
    }

    async fn deliver(&mut self, lines: &[Line]) -> Result<Delivered> {
        let lines: Vec<Bytes> = lines.iter().map(|line| line.bytes.clone()).collect();
        let checkpoint = self.checkpoint.as_deref();
        self.route.output.deliver(&lines, checkpoint).await
    }
}

fn line(record: &Spooled, format: Format, labels: &Labels) -> Result<Line> {
    let raw = RawRecord::parse(record.line.clone())
        .map_err(|e| Error::internal("a record in the spool is not JSON").with_source(e))?;
    let context = labels.context(record);
    Ok(confluence_audit_formats::line(format, &raw, &context))
}

#[cfg(test)]
mod tests;
