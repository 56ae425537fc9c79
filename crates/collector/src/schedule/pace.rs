//! Rate limit of one site: its own token bucket, and one that it shares with all sites of the same
//! account or app. Responses are counted here by status.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use confluence_audit_core::Gate;
use tokio::time::Instant;

use super::Bucket;
use crate::config::{AuthConfig, SiteConfig};
use crate::credentials::TokenFile;
use crate::metrics::SiteCounters;

/// The gate before one site's requests.
#[derive(Debug)]
pub struct Pace {
    /// Instants are counted from here.
    began: Instant,
    own: Mutex<Bucket>,
    shared: Arc<Mutex<Bucket>>,
    counters: Arc<SiteCounters>,
    closed_until: Mutex<Duration>,
}

impl Pace {
    /// A gate whose instants are counted from `began`. Sites of one [`account`] share a bucket.
    pub fn new(
        began: Instant,
        own: Bucket,
        shared: Arc<Mutex<Bucket>>,
        counters: Arc<SiteCounters>,
    ) -> Self {
        Self {
            began,
            own: Mutex::new(own),
            shared,
            counters,
            closed_until: Mutex::default(),
        }
    }

    /// The service wants no request before this instant.
    pub fn closed_until(&self) -> Duration {
        *lock(&self.closed_until)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}

#[async_trait]
impl Gate for Pace {
    async fn pass(&self) {
        let now = self.now();
        let wait = lock(&self.own).take(now).max(lock(&self.shared).take(now));
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    fn answered(&self, status: Option<u16>, asked: Option<Duration>) {
        self.counters.answered(status, asked);
        let until = asked.map(|asked| self.now().saturating_add(asked));
        // One site's limit is not another's, even where they share an account.
        if matches!(status, Some(429 | 503))
            && let Some(until) = until
        {
            let mut closed_until = lock(&self.closed_until);
            *closed_until = until.max(*closed_until);
        }
    }

    fn rate_limited(&self, wait: Duration) {
        Gate::rate_limited(&*self.counters, wait);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whose rate limit the site's requests count against: the account or app, at its gateway. Reads
/// the file of a consent, which names the app.
pub fn account(site: &SiteConfig) -> String {
    let api = site.api_url.as_ref().map(ToString::to_string);
    let api = api.unwrap_or_default();
    match &site.auth {
        AuthConfig::ApiToken { email, .. } => format!("account {email} {api}"),
        AuthConfig::ServiceAccount { client_id, .. } => format!("client {client_id} {api}"),
        AuthConfig::Oauth { token_file } => match TokenFile::new(token_file).look() {
            Ok(kept) => format!("app {} {api}", kept.consent.client_id),
            // Nothing will be asked with it.
            Err(_) => format!("consent {}", token_file.display()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn pace(rate: f64, shared: &Arc<Mutex<Bucket>>) -> Pace {
        let own = Bucket::new(rate, 1.0);
        Pace::new(Instant::now(), own, Arc::clone(shared), Arc::default())
    }

    #[tokio::test(start_paused = true)]
    async fn sites_of_one_account_share_its_bucket() {
        let shared = Arc::new(Mutex::new(Bucket::new(1.0, 1.0)));
        let (one, other) = (pace(100.0, &shared), pace(100.0, &shared));
        let began = Instant::now();
        one.pass().await;
        other.pass().await;
        one.pass().await;
        assert_eq!(began.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_is_counted_and_a_limit_is_remembered() {
        let pace = pace(1.0, &Arc::new(Mutex::new(Bucket::new(1.0, 1.0))));
        pace.answered(Some(200), None);
        pace.answered(Some(200), Some(Duration::from_mins(9)));
        pace.answered(Some(429), Some(Duration::from_mins(1)));
        pace.answered(None, None);
        let counted = pace.counters.requests();
        assert_eq!(counted, BTreeMap::from([(0, 1), (200, 2), (429, 1)]));
        assert_eq!(pace.closed_until(), Duration::from_mins(1));
    }
}
