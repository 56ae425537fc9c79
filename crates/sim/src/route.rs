//! Routing: the endpoint of a path.

use hyper::Method;

use crate::access::Host;

/// An endpoint, with the host that the request was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    List(Host),
    Since(Host),
    Export(Host),
    Retention(Host),
    TenantInfo,
    Authorize,
    Token,
    Resources,
    Truth,
    Stats,
    Records,
    Unknown,
}

impl Route {
    /// `cloud_id` is the one that is served; `None` is any.
    pub(crate) fn of(path: &str, cloud_id: Option<&str>) -> Self {
        let (host, path) = match path
            .strip_prefix("/ex/confluence/")
            .and_then(|rest| rest.split_once('/'))
        {
            Some((id, _)) if cloud_id.is_some_and(|cloud_id| id != cloud_id) => {
                return Self::Unknown;
            }
            Some((_, rest)) => (Host::Gateway, rest),
            None => (Host::Site, path.trim_start_matches('/')),
        };
        match (host, path) {
            (_, "wiki/rest/api/audit") => Self::List(host),
            (_, "wiki/rest/api/audit/since") => Self::Since(host),
            (_, "wiki/rest/api/audit/export") => Self::Export(host),
            (_, "wiki/rest/api/audit/retention") => Self::Retention(host),
            (Host::Site, "_edge/tenant_info") => Self::TenantInfo,
            (Host::Site, "authorize") => Self::Authorize,
            (Host::Site, "oauth/token") => Self::Token,
            (Host::Site, "oauth/token/accessible-resources") => Self::Resources,
            (Host::Site, "_sim/truth") => Self::Truth,
            (Host::Site, "_sim/stats") => Self::Stats,
            (Host::Site, "_sim/records") => Self::Records,
            _ => Self::Unknown,
        }
    }

    /// Whether this is a control endpoint of the simulator rather than a part of the service.
    pub(crate) fn is_control(self) -> bool {
        matches!(self, Self::Truth | Self::Stats | Self::Records)
    }

    pub(crate) fn is_list(self) -> bool {
        matches!(self, Self::List(_) | Self::Since(_))
    }

    pub(crate) fn method(self) -> Method {
        if matches!(self, Self::Token | Self::Records) {
            Method::POST
        } else {
            Method::GET
        }
    }
}
