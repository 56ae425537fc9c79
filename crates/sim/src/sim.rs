//! Handle of a running simulated site.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::arrival::{Arrival, NewRecords};
use crate::config::SimConfig;
use crate::fault::{Fault, FaultRates};
use crate::ground_truth::GroundTruth;
use crate::lock::lock;
use crate::oauth::Consent;
use crate::quirks::Quirks;
use crate::server::serve;
use crate::state::SimState;
use crate::stats::{LoggedRequest, Stats};

/// A site that serves on loopback until it is dropped.
///
/// It lives on a thread with a runtime of its own: a test may block, pause its clock, or have no runtime at all.
/// Dropping it closes the port and every connection before it returns.
pub struct Sim {
    state: Arc<SimState>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sim {
    /// Opens the port and serves.
    ///
    /// # Errors
    /// The port is taken or not allowed: choose another, or 0. Or the system has no thread or descriptor left.
    pub fn start(config: SimConfig) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port))?;
        listener.set_nonblocking(true)?;
        let url = format!("http://127.0.0.1:{}", listener.local_addr()?.port());
        let state = Arc::new(SimState::new(config, url));
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&state);
        let thread = thread::Builder::new()
            .name("confluence-sim".to_owned())
            .spawn(move || runtime.block_on(serve(listener, served, stopped)))?;
        Ok(Self {
            state,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:PORT`: the gateway, the auth host and the site's own host in one.
    pub fn url(&self) -> &str {
        &self.state.url
    }

    /// The site's cloud id.
    pub fn cloud_id(&self) -> &str {
        &self.state.config.cloud_id
    }

    /// The configuration that it was started with.
    pub fn config(&self) -> &SimConfig {
        &self.state.config
    }

    /// The site's now in epoch milliseconds.
    pub fn now(&self) -> i64 {
        self.state.now()
    }

    /// Fixes the site's now, or lets it follow the host's clock again. Tokens age by it too.
    pub fn set_now(&self, now: Option<i64>) {
        *lock(&self.state.fixed_now) = now;
    }

    /// Changes how pages look, from the next request on.
    pub fn set_quirks(&self, quirks: Quirks) {
        *lock(&self.state.quirks) = quirks;
    }

    /// Changes what goes wrong by chance, from the next request on.
    pub fn set_faults(&self, rates: FaultRates) {
        lock(&self.state.faults).rates = rates;
    }

    /// Changes what arrives by itself while a client pages, from the next request on.
    pub fn set_arrival(&self, arrival: Option<Arrival>) {
        self.state.set_arrival(arrival);
    }

    /// Sets the faults of the next requests to the list of records, one each; then chance rules again.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.state.faults).script.extend(faults);
    }

    /// The same for the next requests to the token endpoint. Where the response is lost ([`Fault::CutBody`],
    /// [`Fault::Reset`], [`Fault::Hang`] …) the token has been rotated all the same.
    pub fn script_token(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.state.faults).token_script.extend(faults);
    }

    /// Puts records into the log and returns their lines as in [`truth`](Self::truth).
    pub fn insert(&self, new: &NewRecords) -> Vec<String> {
        self.state.insert(new)
    }

    /// Every record that the site has now: what a correct collector ends with. See [`GroundTruth`].
    pub fn truth(&self) -> GroundTruth {
        self.state.truth(i64::MIN, i64::MAX)
    }

    /// Every record with `from <= time <= to`, in epoch milliseconds.
    pub fn truth_between(&self, from: i64, to: i64) -> GroundTruth {
        self.state.truth(from, to)
    }

    /// A person's consent without the browser: a fresh family of tokens.
    pub fn consent(&self) -> Consent {
        let now = self.state.now();
        lock(&self.state.oauth).consent(now)
    }

    /// Ends all access tokens, as time would.
    pub fn expire_access_tokens(&self) {
        lock(&self.state.oauth).expire();
    }

    /// Ends all refresh tokens, as a person does who takes the consent back.
    pub fn revoke(&self) {
        lock(&self.state.oauth).revoke();
    }

    /// Counts since the start.
    pub fn stats(&self) -> Stats {
        self.state.stats()
    }

    /// The last requests, up to 4096 of them, oldest first.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        lock(&self.state.requests).last()
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        // Dropping the sender resolves the receiver, which ends the loop.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed by its own thread.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Sim {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Sim")
            .field("url", &self.state.url)
            .finish_non_exhaustive()
    }
}
