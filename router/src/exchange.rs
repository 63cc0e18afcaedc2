//! One call at a model server, or at another router: its request being sent while its response comes back.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::Request;

use crate::{
    body::RequestBody,
    edit::Editor,
    failure::Failure,
    mesh::hop::{Remote, Route},
    upstream::{Call, CallError, Frame, Head, Upstream},
};

/// Why an exchange broke off.
#[derive(Debug)]
pub enum Broken {
    /// On the client's side, or by what it sent.
    Client(Failure),
    /// On the model server's side.
    Server(CallError),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Client(failure)
    }
}

impl From<CallError> for Broken {
    fn from(error: CallError) -> Self {
        Self::Server(error)
    }
}

/// A call under way. Dropping it cancels it at the server and ends its stay in the copy, or at the other router.
///
/// Lives in a box from its start: it is handed from one stage of a request to the next, and moving it costs more than
/// the box.
#[derive(Debug)]
pub struct Exchange {
    call: Call,
    outgoing: Outgoing,
    /// A frame that was read ahead of its turn.
    ahead: Option<Frame>,
    route: Option<Route>,
    /// What the client called the model; empty until the response has begun.
    name: String,
    started: Instant,
}

/// The request on its way.
#[derive(Debug)]
struct Outgoing {
    body: RequestBody,
    editor: Option<Editor>,
    /// Taken from the body, not yet through the editor.
    input: Bytes,
    /// Ready to be sent.
    piece: Bytes,
    done: bool,
}

impl Outgoing {
    /// Everything there is to send, when it is all here.
    fn whole(&mut self) -> Result<Vec<Bytes>, Failure> {
        let mut pieces = Vec::with_capacity(2);
        while let Some(chunk) = self.body.next_held() {
            match &mut self.editor {
                None => pieces.push(chunk),
                Some(editor) => {
                    self.input = chunk;
                    while let Some(piece) = editor.next(&mut self.input)? {
                        pieces.push(piece);
                    }
                }
            }
        }
        self.done = true;
        Ok(pieces)
    }

    /// Sends as much as is there and as the server takes.
    fn poll(&mut self, call: &mut Call, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while !self.done {
            if self.piece.is_empty() && !self.fill(cx)?.is_ready() {
                return Poll::Pending;
            }
            let end = self.body.is_finished() && self.input.is_empty();
            if call.poll_send(cx, &mut self.piece, end)?.is_pending() {
                return Poll::Pending;
            }
            self.done = end;
        }
        Poll::Ready(Ok(()))
    }

    /// Gets the next piece; leaves it empty at the end of the body.
    fn fill(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Failure> {
        loop {
            if let Some(editor) = &mut self.editor
                && let Some(piece) = editor.next(&mut self.input)?
            {
                self.piece = piece;
                return Ok(Poll::Ready(()));
            }
            match self.body.poll_chunk(cx) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(None) => return Ok(Poll::Ready(())),
                Poll::Ready(Some(Err(failure))) => return Err(failure),
                Poll::Ready(Some(Ok(chunk))) if self.editor.is_some() => self.input = chunk,
                Poll::Ready(Some(Ok(chunk))) => {
                    self.piece = chunk;
                    return Ok(Poll::Ready(()));
                }
            }
        }
    }
}

impl Exchange {
    /// Starts a call.
    pub fn start(
        upstream: &Upstream,
        request: Request<()>,
        body: RequestBody,
        editor: Option<Editor>,
        route: Option<Route>,
    ) -> Result<Box<Self>, Failure> {
        let mut outgoing = Outgoing {
            body,
            editor,
            input: Bytes::new(),
            piece: Bytes::new(),
            done: false,
        };
        // Most requests are one chunk that is here already; handing it over whole spares the bookkeeping of windows.
        let whole = if outgoing.body.is_complete() {
            Some(outgoing.whole()?)
        } else {
            None
        };
        let call = upstream.start(request, whole);
        Ok(Box::new(Self {
            call,
            outgoing,
            ahead: None,
            route,
            name: String::new(),
            started: Instant::now(),
        }))
    }

    /// The beginning of the response.
    pub async fn head(&mut self) -> Result<Head, Broken> {
        std::future::poll_fn(|cx| {
            // A server may answer before it has read everything: the response counts, not what is left of the request.
            if let Poll::Ready(Err(broken @ Broken::Client(_))) = self.outgoing.poll(&mut self.call, cx) {
                return Poll::Ready(Err(broken));
            }
            self.call.poll_head(cx).map_err(Broken::from)
        })
        .await
    }

    /// Reads the next frame ahead: waits for it, or takes it only when it is there.
    pub async fn look_ahead(&mut self, wait: bool) -> Result<Option<&Frame>, Broken> {
        if self.ahead.is_none() {
            self.ahead = std::future::poll_fn(|cx| match self.poll_frame(cx) {
                Poll::Pending if wait => Poll::Pending,
                Poll::Pending | Poll::Ready(None) => Poll::Ready(Ok(None)),
                Poll::Ready(Some(frame)) => Poll::Ready(frame.map(Some)),
            })
            .await?;
        }
        Ok(self.ahead.as_ref())
    }

    /// The next piece of the response.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, Broken>>> {
        if let Some(frame) = self.ahead.take() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if !self.outgoing.done
            && let Poll::Ready(Err(broken @ Broken::Client(_))) = self.outgoing.poll(&mut self.call, cx)
        {
            return Poll::Ready(Some(Err(broken)));
        }
        self.call
            .poll_frame(cx)
            .map(|frame| frame.map(|frame| frame.map_err(Broken::from)))
    }

    /// The model that answers; `None` for a service of the router.
    pub fn model(&self) -> Option<&str> {
        self.route.as_ref().map(|route| match route {
            Route::Here(lease) => lease.id().as_str(),
            Route::There(remote) => remote.model().as_str(),
        })
    }

    /// The other router, where it is one that answers.
    pub fn remote(&self) -> Option<&Remote> {
        match &self.route {
            Some(Route::There(remote)) => Some(remote),
            Some(Route::Here(_)) | None => None,
        }
    }

    /// The vmodel by which the model was asked for; `None` when it was by its own id.
    pub fn vmodel(&self) -> Option<&str> {
        let by_another = !self.name.is_empty() && self.model() != Some(self.name.as_str());
        by_another.then_some(self.name.as_str())
    }

    /// Says what the client called the model.
    pub fn set_name(&mut self, name: String) {
        self.name = name;
    }

    /// When the call was started at the server.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Bytes of the request that have arrived.
    pub fn request_bytes(&self) -> u64 {
        self.outgoing.body.received()
    }

    /// The response counts: lets go of what was kept to play the request again.
    pub fn settle(&mut self) {
        self.outgoing.body.settle();
    }

    /// Gives up the call, and gives back what is needed to make it again; no body when the request was not kept.
    pub fn unwind(self: Box<Self>) -> (Option<RequestBody>, Option<Route>) {
        let Self {
            call,
            outgoing: Outgoing { mut body, .. },
            route,
            ..
        } = *self;
        drop(call);
        (body.rewind().then_some(body), route)
    }
}
