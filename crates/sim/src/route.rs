//! Where a path leads.

use hyper::Method;

use crate::access::Door;

/// An endpoint, with the host that it was reached by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    List(Door),
    Since(Door),
    Export(Door),
    Retention(Door),
    TenantInfo,
    Authorize,
    Token,
    Resources,
    Truth,
    Stats,
    Records,
    Nowhere,
}

impl Route {
    /// `cloud_id` is the one that is served; `None` is any.
    pub(crate) fn of(path: &str, cloud_id: Option<&str>) -> Self {
        let (door, path) = match path
            .strip_prefix("/ex/confluence/")
            .and_then(|rest| rest.split_once('/'))
        {
            Some((id, _)) if cloud_id.is_some_and(|cloud_id| id != cloud_id) => {
                return Self::Nowhere;
            }
            Some((_, rest)) => (Door::Gateway, rest),
            None => (Door::Own, path.trim_start_matches('/')),
        };
        match (door, path) {
            (_, "wiki/rest/api/audit") => Self::List(door),
            (_, "wiki/rest/api/audit/since") => Self::Since(door),
            (_, "wiki/rest/api/audit/export") => Self::Export(door),
            (_, "wiki/rest/api/audit/retention") => Self::Retention(door),
            (Door::Own, "_edge/tenant_info") => Self::TenantInfo,
            (Door::Own, "authorize") => Self::Authorize,
            (Door::Own, "oauth/token") => Self::Token,
            (Door::Own, "oauth/token/accessible-resources") => Self::Resources,
            (Door::Own, "_sim/truth") => Self::Truth,
            (Door::Own, "_sim/stats") => Self::Stats,
            (Door::Own, "_sim/records") => Self::Records,
            _ => Self::Nowhere,
        }
    }

    /// Whether it is a tool of the simulator rather than a part of the service.
    pub(crate) fn is_tool(self) -> bool {
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
