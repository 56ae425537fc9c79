//! From a site's configuration to a client for it: the secret read, the cloud id found.

mod id;

use std::path::Path;
use std::sync::Arc;

use confluence_audit_core::{
    ApiToken, AuditClient, Authenticator, CloudId, Http, OAuth, OAuthApp, Origin, ServiceAccount,
    SiteAddress, tenant_info,
};
use secrecy::SecretString;

use crate::config::{Address, AuthConfig, Secret, SiteConfig};
use crate::credentials::secret;
use crate::credentials::token_file::{Grant, TokenFile};
use crate::spool::Spool;
use crate::{Error, ErrorKind, Result};

pub use self::id::SiteId;

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
}

/// Reads the site's secret and finds its cloud id; nothing is asked with the credentials yet.
///
/// # Errors
/// [`Credentials`](ErrorKind::Credentials) when the secret cannot be read, and
/// [`Service`](ErrorKind::Service) when the site's cloud id cannot be looked up.
pub async fn connect(
    http: &Http,
    site: &SiteConfig,
    credentials_dir: Option<&Path>,
) -> Result<Site> {
    connect_as(http, site, None, credentials_dir).await
}

/// The same, and the cloud id is looked up only where `spool` does not know it. The site's id is
/// given also when it cannot be read, as far as it is known: what waits in the spool is told apart
/// by it.
pub async fn connect_known(
    http: &Http,
    site: &SiteConfig,
    spool: Option<&dyn Spool>,
    credentials_dir: Option<&Path>,
) -> (Option<SiteId>, Result<Site>) {
    let known = match known_cloud_id(site, spool).await {
        Ok(known) => known,
        Err(error) => return (None, Err(error)),
    };
    let id = known.as_ref().map(|id| SiteId::new(id.as_str()));
    let site = connect_as(http, site, known, credentials_dir).await;
    let id = id.or_else(|| site.as_ref().ok().map(|site| site.id.clone()));
    (id, site)
}

async fn connect_as(
    http: &Http,
    site: &SiteConfig,
    known: Option<CloudId>,
    credentials_dir: Option<&Path>,
) -> Result<Site> {
    let service = |error| Error::service(&site.name, error);
    let auth = authenticator(http, site, credentials_dir)?;
    let cloud_id = match (known, &site.address) {
        (Some(id), _) => id,
        (None, Address::CloudId(id)) => id.clone(),
        (None, Address::Url(url)) => tenant_info(http, url).await.map_err(service)?,
    };
    let address = address(site, &cloud_id)?;
    Ok(Site {
        name: site.name.clone(),
        id: SiteId::new(cloud_id.as_str()),
        client: AuditClient::new(http.clone(), address, auth),
    })
}

/// The site's cloud id, as far as it can be told without asking the site.
async fn known_cloud_id(site: &SiteConfig, spool: Option<&dyn Spool>) -> Result<Option<CloudId>> {
    let known = match (&site.address, spool) {
        (Address::CloudId(id), _) => return Ok(Some(id.clone())),
        (Address::Url(url), Some(spool)) => spool.site_at(&url.to_string()).await?,
        (Address::Url(_), None) => None,
    };
    let id = known.map(|id| CloudId::new(id.as_str())).transpose();
    id.map_err(|error| {
        Error::internal("the spool keeps a cloud id that is none").with_source(error)
    })
}

/// Has `spool` keep where the site was found.
///
/// # Errors
/// What the spool can fail with.
pub async fn remember(config: &SiteConfig, site: &Site, spool: &dyn Spool) -> Result<()> {
    let Address::Url(url) = &config.address else {
        return Ok(());
    };
    let url = url.to_string();
    if spool.site_at(&url).await?.as_ref() == Some(&site.id) {
        return Ok(());
    }
    spool.set_site_at(&url, Some(&site.id)).await
}

/// Has the site's cloud id looked up again next time, if `error` says that there is no such site.
///
/// Only while nothing waits for outputs: until then they know by the old id what is for them.
///
/// # Errors
/// What the spool can fail with.
pub async fn forget_if_wrong(error: &Error, site: &SiteConfig, spool: &dyn Spool) -> Result<()> {
    let wrong = ErrorKind::Service(confluence_audit_core::ErrorKind::WrongSite);
    if let Address::Url(url) = &site.address
        && error.kind() == wrong
        && spool.depth().await?.records == 0
    {
        spool.set_site_at(&url.to_string(), None).await?;
    }
    Ok(())
}

/// The credentials alone, for what is asked of no single site.
///
/// # Errors
/// [`Credentials`](ErrorKind::Credentials) when the secret cannot be read.
pub fn authenticator(
    http: &Http,
    site: &SiteConfig,
    credentials_dir: Option<&Path>,
) -> Result<Arc<dyn Authenticator>> {
    let service = |error| Error::service(&site.name, error);
    let read = |secret: &Secret| -> Result<SecretString> {
        match secret {
            Secret::File(path) => secret::read(path, credentials_dir),
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
