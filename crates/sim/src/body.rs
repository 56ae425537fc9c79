//! A response body that can end before its announced length.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// How long a cut body waits before it breaks, so that what was sent is on its way.
const FLUSH: Duration = Duration::from_millis(5);

/// Chunks, and then the end, or not.
pub(crate) struct Body {
    chunks: Box<dyn Iterator<Item = Bytes> + Send>,
    length: Option<u64>,
    breaks: Option<Pin<Box<Sleep>>>,
}

impl Body {
    /// The whole of the bytes, with their length announced.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        let length = Some(bytes.len() as u64);
        Self {
            chunks: Box::new(std::iter::once(bytes)),
            length,
            breaks: None,
        }
    }

    /// Chunks made as they are sent, without a length.
    pub(crate) fn stream(chunks: Box<dyn Iterator<Item = Bytes> + Send>) -> Self {
        Self {
            chunks,
            length: None,
            breaks: None,
        }
    }

    /// A part, though `length` bytes are announced (or chunks, without a number), and an abort `after` a while.
    pub(crate) fn broken(part: Bytes, length: Option<u64>, after: Option<Duration>) -> Self {
        let breaks = Some(Box::pin(sleep(after.unwrap_or(FLUSH))));
        Self {
            chunks: Box::new(std::iter::once(part)),
            length,
            breaks,
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(chunk) = self.chunks.by_ref().find(|chunk| !chunk.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        let Some(breaks) = self.breaks.as_mut() else {
            return Poll::Ready(None);
        };
        ready!(breaks.as_mut().poll(context));
        Poll::Ready(Some(Err(io::Error::other("cut on purpose"))))
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
