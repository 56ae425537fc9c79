//! The trait of a credential: the headers that a request is authenticated by.

use std::fmt;

use async_trait::async_trait;
use http::HeaderMap;

use crate::error::Error;
use crate::http::origin::Origin;

/// A credential for one origin.
///
/// It is asked at every attempt of a request, so that one that was renewed meanwhile is used.
/// Implementations keep secrets in types that do not print them, and mark header values sensitive.
#[async_trait]
pub trait Authenticator: Send + Sync + fmt::Debug {
    /// The headers that let a request to `origin` in.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when the credential is not for this origin, and whatever can go
    /// wrong when a token is renewed.
    async fn headers(&self, origin: &Origin) -> Result<HeaderMap, Error>;

    /// The service answered 401 to `headers`. `true` means that the next headers
    /// will be others, so that it is worth asking once more.
    async fn rejected(&self, headers: &HeaderMap) -> bool;
}
