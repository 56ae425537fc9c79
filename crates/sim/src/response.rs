//! An answer before it goes out: status, headers, content, and how its body is to end.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::Response;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::body::Body;

/// What the site has to say to one request.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) content: Content,
    pub(crate) end: End,
    /// How many records stand in it.
    pub(crate) records: usize,
}

pub(crate) enum Content {
    Bytes(Bytes),
    Stream(Box<dyn Iterator<Item = Bytes> + Send>),
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    Cut,
    CutChunked,
    /// Silence after a part, for so long.
    Stall(Duration),
}

impl End {
    /// What is added to the status in the statistics.
    pub(crate) fn note(self) -> &'static str {
        match self {
            Self::Whole => "",
            Self::Cut | Self::CutChunked => " cut",
            Self::Stall(_) => " stall",
        }
    }
}

impl Answer {
    pub(crate) fn new(status: u16, content_type: &str, content: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type", content_type.to_owned())],
            content: Content::Bytes(content.into()),
            end: End::Whole,
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
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn outcome(&self) -> String {
        format!("{}{}", self.status, self.end.note())
    }

    /// How many bytes the whole content has; a stream counts as none.
    pub(crate) fn len(&self) -> usize {
        match &self.content {
            Content::Bytes(bytes) => bytes.len(),
            Content::Stream(_) => 0,
        }
    }

    /// Compresses the content.
    pub(crate) fn gzip(&mut self) {
        let Content::Bytes(bytes) = &self.content else {
            return;
        };
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        // Writing to memory does not fail; if it ever did, the plain body is as right.
        if encoder.write_all(bytes).is_ok()
            && let Ok(compressed) = encoder.finish()
        {
            self.content = Content::Bytes(compressed.into());
            self.headers.push(("Content-Encoding", "gzip".to_owned()));
        }
    }

    /// The response. Where its body is to break, `salt` chooses the place.
    pub(crate) fn into_response(self, salt: u64) -> Response<Body> {
        let body = match self.content {
            Content::Stream(chunks) => Body::stream(chunks),
            Content::Bytes(bytes) => {
                let promised = bytes.len() as u64;
                let part = || bytes.slice(..usize::try_from(salt % promised.max(1)).unwrap_or(0));
                match self.end {
                    End::Whole => Body::whole(bytes),
                    End::Cut => Body::broken(part(), Some(promised), None),
                    End::CutChunked => Body::broken(part(), None, None),
                    End::Stall(after) => Body::broken(part(), Some(promised), Some(after)),
                }
            }
        };
        let mut response = Response::new(body);
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
