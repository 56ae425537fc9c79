//! From the spool into the outputs: each drains it in order, at its own pace, and a record leaves
//! the spool when every output has confirmed it.

use bytes::Bytes;
use confluence_audit_core::RawRecord;
use confluence_audit_formats::raw;

use crate::config::FormatName;
use crate::output::{Output, OutputName};
use crate::spool::{Spool, Spooled};
use crate::{Error, Result, SiteId};

/// How much an output is given at a time.
const BATCH_RECORDS: usize = 5_000;
const BATCH_BYTES: usize = 8 << 20;

/// An output with what goes to it.
pub struct Route {
    /// The place.
    pub output: Box<dyn Output>,
    /// In which form.
    pub format: FormatName,
    /// From which site; `None` is from all.
    pub site: Option<SiteId>,
}

/// All outputs, and how far each has come.
pub struct Delivery {
    routes: Vec<Draining>,
    held: Vec<OutputName>,
}

struct Draining {
    route: Route,
    checkpoint: Option<Vec<u8>>,
    /// The last number that it confirmed.
    seq: i64,
    delivered: u64,
}

impl Delivery {
    /// Makes the outputs ready, before anything is read for them.
    ///
    /// # Errors
    /// [`OutputCreate`](crate::ErrorKind::OutputCreate) when one cannot be used, and what the
    /// spool can fail with.
    pub async fn prepare(routes: Vec<Route>, spool: &dyn Spool) -> Result<Self> {
        let mut draining = Vec::with_capacity(routes.len());
        for mut route in routes {
            route.output.prepare().await?;
            let state = spool.register(route.output.name()).await?;
            let (checkpoint, seq) = (state.checkpoint, state.seq);
            draining.push(Draining {
                route,
                checkpoint,
                seq,
                delivered: 0,
            });
        }
        Ok(Self {
            routes: draining,
            held: Vec::new(),
        })
    }

    /// The same, and these outputs, which nothing can be delivered to now, keep their positions
    /// and what waits for them.
    #[must_use]
    pub fn holding(mut self, outputs: Vec<OutputName>) -> Self {
        self.held = outputs;
        self
    }

    /// Delivers all that waits. An output that fails holds up no other.
    ///
    /// # Errors
    /// The first failure, after every output has been tried. What was not confirmed waits in the
    /// spool.
    pub async fn drain(&mut self, spool: &dyn Spool) -> Result<()> {
        let mut failure = None;
        for route in &mut self.routes {
            if let Err(error) = route.drain(spool).await {
                tracing::error!(output = %route.route.output.name(), "{error}");
                failure.get_or_insert(error);
            }
        }
        let names: Vec<OutputName> = self
            .routes
            .iter()
            .map(|route| route.route.output.name())
            .chain(&self.held)
            .cloned()
            .collect();
        spool.sweep(&names).await?;
        failure.map_or(Ok(()), Err)
    }

    /// How many records each output has got since [`prepare`](Self::prepare), by its name.
    pub fn delivered(&self) -> impl Iterator<Item = (&OutputName, u64)> {
        self.routes
            .iter()
            .map(|route| (route.route.output.name(), route.delivered))
    }
}

impl Draining {
    async fn drain(&mut self, spool: &dyn Spool) -> Result<()> {
        loop {
            let name = self.route.output.name().clone();
            let batch = spool.pending(&name, BATCH_RECORDS, BATCH_BYTES).await?;
            let Some(last) = batch.last().map(|record| record.seq) else {
                return Ok(());
            };
            let ours: Vec<&Spooled> = batch
                .iter()
                .filter(|record| {
                    self.route
                        .site
                        .as_ref()
                        .is_none_or(|site| *site == record.site)
                })
                .collect();
            let lines: Vec<Bytes> = ours
                .iter()
                .map(|record| line(record, self.route.format))
                .collect::<Result<_>>()?;
            let done = self
                .route
                .output
                .deliver(&lines, self.checkpoint.as_deref())
                .await?;
            let seq = match done.lines {
                all if all == ours.len() => last,
                0 => self.seq,
                some => ours[some - 1].seq,
            };
            self.confirm(spool, &name, seq, done.checkpoint).await?;
            self.delivered += done.lines as u64;
        }
    }

    async fn confirm(
        &mut self,
        spool: &dyn Spool,
        name: &OutputName,
        seq: i64,
        checkpoint: Vec<u8>,
    ) -> Result<()> {
        spool.confirm(name, seq, &checkpoint).await?;
        self.seq = seq;
        self.checkpoint = Some(checkpoint);
        Ok(())
    }
}

fn line(record: &Spooled, format: FormatName) -> Result<Bytes> {
    let raw = RawRecord::parse(record.line.clone())
        .map_err(|e| Error::internal("a record in the spool is not JSON").with_source(e))?;
    Ok(match format {
        FormatName::Raw => raw::line(&raw),
    })
}
