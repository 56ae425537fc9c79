//! A response before it is sent: status, headers, content, and how its body is to be broken.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::body::Body;

/// The response to one request.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) content: Content,
    pub(crate) broken: Option<BodyFault>,
    /// How many records stand in it.
    pub(crate) records: usize,
}

pub(crate) enum Content {
    Bytes(Bytes),
    Stream(Box<dyn Iterator<Item = Bytes> + Send>),
}

/// How a body is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFault {
    Cut,
    CutChunked,
    /// Silence after a part, for so long.
    Stall(Duration),
}

impl Response {
    pub(crate) fn new(status: u16, content_type: &str, content: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", content_type.to_owned())],
            content: Content::Bytes(content.into()),
            broken: None,
            records: 0,
        }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    pub(crate) fn html(status: u16, body: &'static str) -> Self {
        Self::new(status, "text/html; charset=UTF-8", body)
    }

    pub(crate) fn stream(
        content_type: &str,
        chunks: impl Iterator<Item = Bytes> + Send + 'static,
    ) -> Self {
        Self {
            content: Content::Stream(Box::new(chunks)),
            ..Self::new(200, content_type, "")
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.add(name, value);
        self
    }

    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<String>) {
        self.headers.push((name, value.into()));
    }

    /// The outcome in the statistics.
    pub(crate) fn outcome(&self) -> String {
        let fault = match self.broken {
            None => "",
            Some(BodyFault::Cut | BodyFault::CutChunked) => " cut",
            Some(BodyFault::Stall(_)) => " stall",
        };
        format!("{}{fault}", self.status)
    }

    /// How many bytes the whole content has; a stream counts as none.
    pub(crate) fn len(&self) -> usize {
        match &self.content {
            Content::Bytes(bytes) => bytes.len(),
            Content::Stream(_) => 0,
        }
    }

    /// Compresses the content, unless it is compressed or a stream.
    pub(crate) fn gzip(&mut self) {
        let Content::Bytes(bytes) = &self.content else {
            return;
        };
        if self
            .headers
            .iter()
            .any(|(name, _)| *name == "Content-Encoding")
        {
            return;
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        // Writing to memory does not fail; if it ever did, the plain body is as right.
        if encoder.write_all(bytes).is_ok()
            && let Ok(compressed) = encoder.finish()
        {
            self.content = Content::Bytes(compressed.into());
            self.add("Content-Encoding", "gzip");
        }
    }

    /// The response for hyper. Where its body is to break, `salt` chooses the place.
    pub(crate) fn into_http(self, salt: u64) -> hyper::Response<Body> {
        let body = match self.content {
            Content::Stream(chunks) => Body::stream(chunks),
            Content::Bytes(bytes) => {
                let length = bytes.len() as u64;
                let part = || bytes.slice(..usize::try_from(salt % length.max(1)).unwrap_or(0));
                match self.broken {
                    None => Body::whole(bytes),
                    Some(BodyFault::Cut) => Body::broken(part(), Some(length), None),
                    Some(BodyFault::CutChunked) => Body::broken(part(), None, None),
                    Some(BodyFault::Stall(after)) => {
                        Body::broken(part(), Some(length), Some(after))
                    }
                }
            }
        };
        let mut response = hyper::Response::new(body);
        *response.status_mut() = hyper::StatusCode::from_u16(self.status).unwrap_or_default();
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(&value),
            ) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}
