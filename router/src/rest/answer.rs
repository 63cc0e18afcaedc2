//! The body of a response in pieces. HTTP/1.1 hands them to the kernel together (`writev`), HTTP/2 as frames.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::chunks::Chunks;

/// The body that consists of these pieces; its length is known.
pub(super) fn body(mut chunks: Chunks) -> Body {
    // Most answers are one piece.
    let Some(first) = chunks.pop() else {
        return Body::empty();
    };
    if chunks.is_empty() {
        return Body::from(first);
    }
    Body::new(Pieces {
        first: Some(first),
        rest: chunks,
    })
}

struct Pieces {
    first: Option<Bytes>,
    rest: Chunks,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.first.take().or_else(|| self.rest.pop());
        Poll::Ready(next.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.first.as_ref().map_or(0, Bytes::len) + self.rest.len();
        SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
    }
}
