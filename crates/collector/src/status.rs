//! Status: how far each site is read, how its last pass ended, and what waits for outputs. Also
//! while a run is going on.

use confluence_audit_core::Timestamp;

use crate::config::{Address, AuthConfig, SiteConfig};
use crate::credentials::TokenFile;
use crate::credentials::token_file::Stored;
use crate::metrics::HourlyCounts;
use crate::pass::LastPass;
use crate::spool::{Overview, SiteOverview, Spool as _, SqliteSpool};
use crate::{Result, Setup};

/// How all of it stands.
#[derive(Debug)]
pub struct Status {
    /// The configured sites.
    pub sites: Vec<SiteStatus>,
    /// What the spool says; `None` when nothing was ever fetched.
    pub overview: Option<Overview>,
}

/// How one configured site stands.
#[derive(Debug)]
pub struct SiteStatus {
    /// What people call it.
    pub name: String,
    /// `None` when it was never read.
    pub state: Option<SiteOverview>,
    /// `None` when it is not read by consent.
    pub consent: Option<Result<Stored>>,
    /// How its last pass ended.
    pub last: Option<LastPass>,
    /// How many records each hour of the last day brought.
    pub day: Option<[u32; 24]>,
}

impl Status {
    /// Reads it, and changes nothing.
    ///
    /// # Errors
    /// What the spool can fail with.
    pub async fn read(setup: &Setup) -> Result<Self> {
        let spool = SqliteSpool::open_read_only(&setup.state_dir)?;
        let overview = match &spool {
            Some(spool) => Some(spool.overview().await?),
            None => None,
        };
        let now = setup.runtime().now();
        let mut sites = Vec::new();
        for site in &setup.config.sites {
            let mut status = SiteStatus::of(site, overview.as_ref());
            status.last = LastPass::read(&setup.state_dir, &site.name);
            if let (Some(spool), Some(state)) = (&spool, &status.state) {
                let hours = HourlyCounts::committed(spool, &state.id, now).await?;
                status.day = Some(hours.until(now));
            }
            sites.push(status);
        }
        Ok(Self { sites, overview })
    }
}

impl SiteStatus {
    fn of(config: &SiteConfig, overview: Option<&Overview>) -> Self {
        let is_it = |site: &&SiteOverview| match &config.address {
            Address::CloudId(id) => site.id.as_str() == id.as_str(),
            Address::Url(url) => site.addresses.contains(&url.to_string()),
        };
        let consent = match &config.auth {
            AuthConfig::Oauth { token_file } => Some(TokenFile::new(token_file).look()),
            _ => None,
        };
        let state = overview.and_then(|overview| overview.sites.iter().find(is_it));
        Self {
            name: config.name.clone(),
            state: state.cloned(),
            consent,
            last: None,
            day: None,
        }
    }

    /// Everything up to it has been read.
    pub fn watermark(&self) -> Option<Timestamp> {
        self.state.as_ref()?.state.watermark
    }

    /// When the site was last read to its end: every pass ends with the shortest step of the
    /// schedule at least.
    pub fn last_pass(&self) -> Option<Timestamp> {
        let rereads = self.state.as_ref()?.state.rereads.iter();
        rereads.map(|(_, at)| *at).max()
    }
}
