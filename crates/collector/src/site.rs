//! Sites: their ids in the state, and the way from their configuration to a client.

mod connect;
mod id;

pub use self::connect::{Reachable, Site, Sites, api, auth};
pub use self::id::SiteId;
