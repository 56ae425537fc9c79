//! Connecting sites: from a site's configuration to a client for it, its secret read and its cloud
//! id found.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use confluence_audit_core::{
    ApiToken, AuditClient, Authenticator, CloudId, Http, OAuth, OAuthApp, Origin, ServiceAccount,
    SiteAddress, Timestamp, accessible_resources, tenant_info,
};
use secrecy::SecretString;

use crate::config::{Address, AuthConfig, Secret, SiteConfig};
use crate::credentials::secret;
use crate::credentials::token_file::{Grant, TokenFile};
use crate::spool::Spool;
use crate::{Error, ErrorKind, Result, SiteId};

/// Where the API and the token endpoint are, unless a site says otherwise.
const API: &str = "https://api.atlassian.com";
const AUTH: &str = "https://auth.atlassian.com";

/// A site that can be read.
#[derive(Clone, Debug)]
pub struct Site {
    /// What people call it.
    pub name: String,
    /// What the state calls it.
    pub id: SiteId,
    /// Its log.
    pub client: AuditClient,
    /// Where its cloud id is looked up, unless the configuration names that.
    address: Option<String>,
}

impl Site {
    /// A site whose id needs no looking up.
    pub fn new(name: impl Into<String>, id: SiteId, client: AuditClient) -> Self {
        Self {
            name: name.into(),
            id,
            client,
            address: None,
        }
    }

    /// Has `spool` keep the site's cloud id.
    pub(crate) async fn remember(&self, spool: &dyn Spool) -> Result<()> {
        match &self.address {
            Some(address) if spool.site_at(address).await?.as_ref() != Some(&self.id) => {
                spool.set_site_at(address, Some(&self.id)).await
            }
            _ => Ok(()),
        }
    }

    /// Has the cloud id looked up again next time, since the service does not know it. Only while
    /// nothing waits for outputs: until then they know by the old id what is for them.
    pub(crate) async fn forget(&self, spool: &dyn Spool) -> Result<()> {
        match &self.address {
            Some(address) if spool.depth().await?.records == 0 => {
                spool.set_site_at(address, None).await
            }
            _ => Ok(()),
        }
    }
}

/// A site that credentials reach.
#[derive(Clone, Debug)]
pub struct Reachable {
    /// Its cloud id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its address, where the service tells it.
    pub url: Option<String>,
    /// Whether its audit log may be read, where the service tells it.
    pub has_scope: Option<bool>,
    /// When the consent ends that reaches it.
    pub until: Option<Timestamp>,
}

/// Connects configured sites: reads their secrets and finds their cloud ids.
#[derive(Clone)]
pub struct Sites {
    http: Http,
    credentials_dir: Option<PathBuf>,
    spool: Option<Arc<dyn Spool>>,
}

impl Sites {
    /// Sites over this connection. A secret that is a bare name is looked for in
    /// `credentials_dir`.
    pub fn new(http: Http, credentials_dir: Option<PathBuf>) -> Self {
        Self {
            http,
            credentials_dir,
            spool: None,
        }
    }

    /// The same with a spool, which knows the cloud ids of sites that were read before: a pass
    /// keeps them there, and forgets one that the service does not know.
    #[must_use]
    pub fn with_spool(mut self, spool: impl Spool + 'static) -> Self {
        self.spool = Some(Arc::new(spool));
        self
    }

    /// The same over another connection.
    #[must_use]
    pub fn with_http(&self, http: Http) -> Self {
        Self {
            http,
            ..self.clone()
        }
    }

    /// The connection.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// Where secrets with a bare name are.
    pub fn credentials_dir(&self) -> Option<&Path> {
        self.credentials_dir.as_deref()
    }

    /// Reads the site's secret and finds its cloud id, which is looked up only where the spool does
    /// not know it; nothing is asked with the credentials yet.
    ///
    /// # Errors
    /// [`Credentials`](ErrorKind::Credentials) when the secret cannot be read,
    /// [`Service`](ErrorKind::Service) when the site's cloud id cannot be looked up, and what the
    /// spool can fail with.
    pub async fn connect(&self, site: &SiteConfig) -> Result<Site> {
        let service = |error| Error::service(&site.name, error);
        let known = self.known_cloud_id(site).await?;
        let auth = self.authenticator(site)?;
        let cloud_id = match (known, &site.address) {
            (Some(id), _) => id,
            (None, Address::CloudId(id)) => id.clone(),
            (None, Address::Url(url)) => tenant_info(&self.http, url).await.map_err(service)?,
        };
        let address = address(site, &cloud_id)?;
        Ok(Site {
            name: site.name.clone(),
            id: SiteId::new(cloud_id.as_str()),
            client: AuditClient::new(self.http.clone(), address, auth),
            address: site.address.url().map(ToString::to_string),
        })
    }

    /// The site's id, as far as it can be told without asking the site: what waits in the spool is
    /// told apart by it, also when the site cannot be read.
    ///
    /// # Errors
    /// What the spool can fail with.
    pub async fn known_id(&self, site: &SiteConfig) -> Result<Option<SiteId>> {
        let id = self.known_cloud_id(site).await?;
        Ok(id.map(|id| SiteId::new(id.as_str())))
    }

    async fn known_cloud_id(&self, site: &SiteConfig) -> Result<Option<CloudId>> {
        let known = match (&site.address, &self.spool) {
            (Address::CloudId(id), _) => return Ok(Some(id.clone())),
            (Address::Url(url), Some(spool)) => spool.site_at(&url.to_string()).await?,
            (Address::Url(_), None) => None,
        };
        let id = known.map(|id| CloudId::new(id.as_str())).transpose();
        id.map_err(|error| {
            Error::internal("the spool keeps a cloud id that is none").with_source(error)
        })
    }

    /// The sites that a configured site's credentials reach. An API token cannot be asked; its own
    /// site can be found.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn reachable(&self, site: &SiteConfig) -> Result<Vec<Reachable>> {
        let until = match &site.auth {
            AuthConfig::ApiToken { .. } => {
                return Ok(vec![Reachable {
                    id: self.connect(site).await?.id.to_string(),
                    name: site.name.clone(),
                    url: None,
                    has_scope: None,
                    until: None,
                }]);
            }
            AuthConfig::ServiceAccount { .. } => None,
            AuthConfig::Oauth { token_file } => {
                let stored = TokenFile::new(token_file).look()?;
                Some(stored.ends_unused().min(stored.ends()))
            }
        };
        let auth = self.authenticator(site)?;
        let reached = accessible_resources(&self.http, &api(site)?, &*auth).await;
        let reached = reached.map_err(|error| Error::service(&site.name, error))?;
        let reached = reached.into_iter().map(|reached| Reachable {
            has_scope: Some(reached.has_audit_scope()),
            id: reached.id.to_string(),
            name: reached.name,
            url: Some(reached.url),
            until,
        });
        Ok(reached.collect())
    }

    fn authenticator(&self, site: &SiteConfig) -> Result<Arc<dyn Authenticator>> {
        let http = &self.http;
        let service = |error| Error::service(&site.name, error);
        let read = |secret: &Secret| -> Result<SecretString> {
            match secret {
                Secret::File(path) => secret::read(path, self.credentials_dir()),
                Secret::Given(value) => Ok(value.clone()),
            }
        };
        let api = api(site)?;
        Ok(match &site.auth {
            AuthConfig::ApiToken { email, token, .. } => {
                let origin = own_host(site)?.cloned().unwrap_or(api);
                Arc::new(ApiToken::new(origin, email, read(token)?).map_err(service)?)
            }
            AuthConfig::ServiceAccount {
                client_id,
                client_secret,
            } => {
                let auth = auth(site)?;
                let secret = read(client_secret)?;
                Arc::new(ServiceAccount::new(
                    http.clone(),
                    api,
                    auth,
                    client_id,
                    secret,
                ))
            }
            AuthConfig::Oauth { token_file } => {
                let file = TokenFile::new(token_file);
                let kept = file.look()?;
                if let Some(warning) = kept.warning(http.runtime().now()) {
                    tracing::warn!("site {}: {warning}", site.name);
                }
                let Grant {
                    client_id,
                    client_secret,
                    ..
                } = kept.consent;
                let app = OAuthApp::new(auth(site)?, client_id, client_secret);
                Arc::new(OAuth::new(http.clone(), api, app, Arc::new(file)))
            }
        })
    }
}

/// Where the site's log is asked for: through the gateway, but with a token without scopes.
fn address(site: &SiteConfig, cloud_id: &CloudId) -> Result<SiteAddress> {
    Ok(match own_host(site)? {
        Some(host) => SiteAddress::direct(host.clone()),
        None => SiteAddress::gateway(api(site)?, cloud_id),
    })
}

/// The site's own host, if its token is good there alone.
fn own_host(site: &SiteConfig) -> Result<Option<&Origin>> {
    match (&site.auth, &site.address) {
        (AuthConfig::ApiToken { unscoped: true, .. }, Address::Url(url)) => Ok(Some(url)),
        (AuthConfig::ApiToken { unscoped: true, .. }, Address::CloudId(_)) => Err(Error::new(
            ErrorKind::Config,
            format!(
                "site {}: a token without scopes works on the site's own host, and that is not \
                 known",
                site.name
            ),
            "Give the site's address instead of its cloud id: --site-url, or `url` in the \
             configuration.",
        )),
        _ => Ok(None),
    }
}

/// The API's address for this site.
///
/// # Errors
/// [`Service`](ErrorKind::Service) for an address that cannot be used.
pub fn api(site: &SiteConfig) -> Result<Origin> {
    origin(site, site.api_url.as_ref(), API)
}

/// Where the tokens of a site come from.
///
/// # Errors
/// As [`api`].
pub fn auth(site: &SiteConfig) -> Result<Origin> {
    origin(site, site.auth_url.as_ref(), AUTH)
}

fn origin(site: &SiteConfig, given: Option<&Origin>, default: &str) -> Result<Origin> {
    match given {
        Some(origin) => Ok(origin.clone()),
        None => Origin::parse(default).map_err(|error| Error::service(&site.name, error)),
    }
}
