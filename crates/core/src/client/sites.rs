//! Site discovery: the cloud id of a site, and the sites that a credential reaches.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::auth::AUDIT_SCOPE;
use crate::error::{Error, ErrorKind};
use crate::http::Http;
use crate::http::authenticator::Authenticator;
use crate::http::origin::Origin;
use crate::http::{Request, failure};
use crate::json::decode;
use crate::printable::printable;

/// The id of a site on Atlassian's cloud, a UUID by every sample.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct CloudId(String);

impl CloudId {
    /// Takes an id, which becomes a part of a path: letters, digits and hyphens only. Its letters
    /// become small ones, as a UUID is the same in either: another spelling is not another site.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when it is anything else.
    pub fn new(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(good) {
            let message = format!("'{}' is not a cloud id", printable(text, 100));
            return Err(Error::new(ErrorKind::Config, message));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CloudId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A site that a credential reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Site {
    /// Its cloud id.
    pub id: CloudId,
    /// Its name.
    pub name: String,
    /// Its address: to show, not to send a credential to.
    pub url: String,
    /// What the credential may do there: the scopes of all entries with this id.
    pub scopes: Vec<String>,
}

impl Site {
    /// Whether the credential may read the audit log there.
    pub fn has_audit_scope(&self) -> bool {
        self.scopes.iter().any(|scope| scope == AUDIT_SCOPE)
    }
}

/// Looks up the cloud id of the site at `site` (`GET /_edge/tenant_info`); no credential is sent.
///
/// # Errors
/// [`ErrorKind::WrongSite`] when there is no site at this address, and what is about the network.
pub async fn tenant_info(http: &Http, site: &Origin) -> Result<CloudId, Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct TenantInfo {
        cloud_id: String,
    }
    let request = Request::get(site, "/_edge/tenant_info", None);
    http.send(request, None, |response| {
        if let Some(error) = failure::of(response, true) {
            return Err(error);
        }
        let info: TenantInfo = decode::object(&response.body)?;
        CloudId::new(&info.cloud_id).map_err(|e| {
            Error::new(ErrorKind::UnexpectedJson, "the cloud id is none").with_source(e)
        })
    })
    .await
}

/// The sites that the credentials reach (`GET /oauth/token/accessible-resources`), by name.
///
/// The service lists a site once for each group of scopes; here each stands once.
///
/// # Errors
/// Every kind that is about the service, the network or the credentials.
pub async fn accessible_resources(
    http: &Http,
    api: &Origin,
    auth: &dyn Authenticator,
) -> Result<Vec<Site>, Error> {
    let request = Request::get(api, "/oauth/token/accessible-resources", None);
    http.send(request, Some(auth), |response| {
        if let Some(error) = failure::of(response, true) {
            return Err(error);
        }
        Ok(grouped(decode::decode(&response.body)?))
    })
    .await
}

#[derive(Deserialize)]
struct Resource {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    scopes: Vec<String>,
}

fn grouped(resources: Vec<Resource>) -> Vec<Site> {
    let mut sites: BTreeMap<CloudId, Site> = BTreeMap::new();
    for resource in resources {
        // An id that cannot stand in a path cannot be asked for either.
        let Ok(id) = CloudId::new(&resource.id) else {
            continue;
        };
        let site = sites.entry(id.clone()).or_insert_with(|| Site {
            id,
            name: resource.name,
            url: resource.url,
            scopes: Vec::new(),
        });
        site.scopes.extend(resource.scopes);
    }
    let mut sites: Vec<Site> = sites.into_values().collect();
    for site in &mut sites {
        site.scopes.sort();
        site.scopes.dedup();
    }
    sites.sort_by(|a, b| a.name.cmp(&b.name));
    sites
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_id_in_other_letters_is_the_same_site() {
        let small = CloudId::new("1324a887-45db-1bf4-1e99-ef0ff456d421").unwrap();
        let large = CloudId::new(" 1324A887-45DB-1BF4-1E99-EF0FF456D421 ").unwrap();
        assert_eq!(small, large);
        assert_eq!(large.as_str(), "1324a887-45db-1bf4-1e99-ef0ff456d421");
    }
}
