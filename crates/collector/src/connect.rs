//! From a site's configuration to a client for it: the secret read, the cloud id found.

use std::path::Path;
use std::sync::Arc;

use confluence_audit_core::{
    ApiToken, AuditClient, Authenticator, Http, Origin, ServiceAccount, SiteAddress, tenant_info,
};
use secrecy::SecretString;

use crate::config::{Address, AuthConfig, Secret, SiteConfig};
use crate::{Error, ErrorKind, Result, SiteId, secret};

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
    let service = |error| Error::service(&site.name, error);
    let auth = authenticator(http, site, credentials_dir)?;
    let cloud_id = match &site.address {
        Address::CloudId(id) => id.clone(),
        Address::Url(url) => tenant_info(http, url).await.map_err(service)?,
    };
    let address = SiteAddress::gateway(api(site)?, &cloud_id);
    Ok(Site {
        name: site.name.clone(),
        id: SiteId::new(cloud_id.as_str()),
        client: AuditClient::new(http.clone(), address, auth),
    })
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
        AuthConfig::ApiToken { email, token } => {
            Arc::new(ApiToken::new(api, email, read(token)?).map_err(service)?)
        }
        AuthConfig::ServiceAccount {
            client_id,
            client_secret,
        } => {
            let auth = origin(site, site.auth_url.as_ref(), AUTH)?;
            let secret = read(client_secret)?;
            Arc::new(ServiceAccount::new(
                http.clone(),
                api,
                auth,
                client_id,
                secret,
            ))
        }
        AuthConfig::Oauth { .. } => {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "site {}: OAuth token files are not supported in this version",
                    site.name
                ),
                "Use an API token (kind = \"api-token\") or a service account.",
            ));
        }
    })
}

/// The API's address for this site.
///
/// # Errors
/// [`Service`](ErrorKind::Service) for an address that cannot be used.
pub fn api(site: &SiteConfig) -> Result<Origin> {
    origin(site, site.api_url.as_ref(), API)
}

fn origin(site: &SiteConfig, given: Option<&Origin>, default: &str) -> Result<Origin> {
    match given {
        Some(origin) => Ok(origin.clone()),
        None => Origin::parse(default).map_err(|error| Error::service(&site.name, error)),
    }
}
