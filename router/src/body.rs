//! The request body of a call: read once, kept within a budget so that the call can be played again.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use tonic::Code;

use crate::{
    chunks::Chunks,
    failure::Failure,
    payload::Tap,
    wire::framing::{FramingError, Meter, PREFIX, Prefix},
};

/// What one call keeps to be played again: enough for ordinary tensors, little against the message limit.
pub const REPLAY_PER_CALL: usize = 4 << 20;

/// Chunks that one call keeps for that: frames of a few bytes each would cost far more than the bytes that are counted.
const REPLAY_CHUNKS: usize = 1024;

/// Chunks below this size are joined while they wait, for the same reason.
const SMALL: usize = 4 << 10;

/// Memory that all calls together may keep for replay.
#[derive(Debug)]
pub struct ReplayBudget(AtomicUsize);

impl ReplayBudget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(bytes)))
    }

    fn take(&self, bytes: usize) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            })
            .is_ok()
    }

    fn give(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Body of a request, frame by frame.
#[derive(Debug)]
pub struct RequestBody {
    source: Option<RecvStream>,
    /// The usual body is one chunk: it stands here, without a queue.
    first: Option<Bytes>,
    more: VecDeque<Bytes>,
    /// Chunks before this one were given out.
    position: usize,
    kept: bool,
    held_bytes: usize,
    received: u64,
    /// Bytes that must have arrived before a look at the first message can tell more than the last one.
    wanted: usize,
    budget: Arc<ReplayBudget>,
    meter: Meter,
    tap: Option<Arc<Tap>>,
}

impl RequestBody {
    /// The body of a call that arrives over HTTP/2.
    pub fn stream(source: RecvStream, message_limit: usize, budget: Arc<ReplayBudget>) -> Self {
        let mut body = Self::empty(message_limit, budget);
        body.source = Some(source);
        body
    }

    /// A body that is here already: framed messages.
    pub fn complete(
        framed: impl Into<Chunks>,
        message_limit: usize,
        budget: Arc<ReplayBudget>,
    ) -> Result<Self, Failure> {
        let mut body = Self::empty(message_limit, budget);
        for chunk in framed.into() {
            body.accept(chunk)?;
        }
        body.meter.finish().map_err(framing)?;
        Ok(body)
    }

    fn empty(message_limit: usize, budget: Arc<ReplayBudget>) -> Self {
        Self {
            source: None,
            first: None,
            more: VecDeque::new(),
            position: 0,
            kept: true,
            held_bytes: 0,
            received: 0,
            wanted: PREFIX,
            budget,
            meter: Meter::new(message_limit),
            tap: None,
        }
    }

    /// Copies what has arrived and what arrives to a tap, if there is one.
    pub fn watch(&mut self, tap: Option<&Arc<Tap>>) {
        let Some(tap) = tap else { return };
        for chunk in self.first.iter().chain(&self.more) {
            tap.request(chunk);
        }
        self.tap = Some(tap.clone());
    }

    fn accept(&mut self, chunk: Bytes) -> Result<(), Failure> {
        self.meter.feed(&chunk).map_err(framing)?;
        if let Some(tap) = &self.tap {
            tap.request(&chunk);
        }
        self.received += chunk.len() as u64;
        if self.kept {
            let kept = self.held_bytes + chunk.len() <= REPLAY_PER_CALL
                && self.more.len() < REPLAY_CHUNKS
                && self.budget.take(chunk.len());
            if kept {
                self.held_bytes += chunk.len();
            } else {
                self.kept = false;
                self.forget();
            }
        }
        let waits = self.position < self.count();
        if let Some(last) = self.more.back_mut().or(self.first.as_mut())
            && waits
            && last.len() < SMALL
            && chunk.len() < SMALL
        {
            *last = join(std::mem::take(last), &chunk);
        } else if self.first.is_none() && self.more.is_empty() && self.position == 0 {
            self.first = Some(chunk);
        } else {
            self.more.push_back(chunk);
        }
        Ok(())
    }

    /// Drops what was given out already: this body cannot be played again.
    fn forget(&mut self) {
        self.budget.give(self.held_bytes);
        self.held_bytes = 0;
        if self.position > 0 {
            self.first = None;
            self.more.drain(..(self.position - 1).min(self.more.len()));
            self.position = 1;
        }
    }

    fn count(&self) -> usize {
        // Once chunks are not kept, position 1 stands for all that was given out.
        if self.first.is_some() || self.position > 0 {
            1 + self.more.len()
        } else {
            self.more.len()
        }
    }

    /// Pulls one more chunk from the network; `false` at the end of the body.
    fn poll_pull(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Failure>> {
        let Some(source) = &mut self.source else {
            return Poll::Ready(Ok(false));
        };
        loop {
            match ready!(source.poll_data(cx)) {
                Some(Ok(chunk)) => {
                    // At most the window and one chunk are in memory: what is pulled is sent before more is pulled.
                    let _ = source.flow_control().release_capacity(chunk.len());
                    let ended = source.is_end_stream();
                    if chunk.is_empty() && !ended {
                        continue;
                    }
                    if ended {
                        self.source = None;
                    }
                    self.accept(chunk)?;
                    if ended {
                        self.meter.finish().map_err(framing)?;
                    }
                    return Poll::Ready(Ok(true));
                }
                Some(Err(err)) => return Poll::Ready(Err(read_error(&err))),
                None => {
                    self.source = None;
                    return Poll::Ready(self.meter.finish().map_err(framing).map(|()| false));
                }
            }
        }
    }

    /// The next chunk for the upstream; `None` at the end.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        if self.position >= self.count() {
            match ready!(self.poll_pull(cx)) {
                Ok(true) => {}
                Ok(false) => return Poll::Ready(None),
                Err(failure) => return Poll::Ready(Some(Err(failure))),
            }
        }
        Poll::Ready(self.next_held().map(Ok))
    }

    /// Takes what has arrived when nothing is held yet: a small body is usually here with its headers.
    pub fn pull_arrived(&mut self) -> Result<(), Failure> {
        if self.count() > 0 {
            return Ok(());
        }
        // Whoever waits for the rest polls with a waker of its own.
        match self.poll_pull(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(pulled) => pulled.map(drop),
            Poll::Pending => Ok(()),
        }
    }

    /// The next chunk that has arrived.
    pub fn next_held(&mut self) -> Option<Bytes> {
        if self.position >= self.count() {
            return None;
        }
        if self.position == 0 {
            self.position = 1;
            return if self.kept {
                self.first.clone()
            } else {
                self.first.take()
            };
        }
        if self.kept {
            self.position += 1;
            self.more.get(self.position - 2).cloned()
        } else {
            self.more.pop_front()
        }
    }

    /// Everything has arrived and was given out.
    pub fn is_finished(&self) -> bool {
        self.source.is_none() && self.position >= self.count()
    }

    /// Bytes that have arrived.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Everything has arrived.
    pub fn is_complete(&self) -> bool {
        self.source.is_none()
    }

    /// Starts over; `false` when chunks that were given out were not kept.
    pub fn rewind(&mut self) -> bool {
        if self.kept {
            self.position = 0;
        }
        self.kept
    }

    /// The call will not be played again: lets go of what was kept for that.
    pub fn settle(&mut self) {
        if self.kept {
            self.kept = false;
            self.forget();
        }
    }

    /// The chunks that have arrived, before any was given out.
    fn arrived(&self) -> impl Iterator<Item = &Bytes> {
        self.first.iter().chain(&self.more)
    }

    /// Shows `decide` the prefix of the first message and what has arrived of its bytes. It answers `None` when it
    /// needs more of them, and is asked again when there is twice as much: reading stays linear in the message's size.
    ///
    /// To be called before the first chunk is given out.
    pub fn peek<T>(
        &mut self,
        mut decide: impl FnMut(Prefix, &[u8]) -> Result<Option<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
        self.pull_arrived()?;
        let arrived: usize = self.arrived().map(Bytes::len).sum();
        if arrived < self.wanted {
            return Ok(None);
        }
        if !self.more.is_empty()
            && let Some((head, message)) = self.first.as_ref().and_then(|first| first.split_first_chunk())
        {
            // The name usually stands at the beginning, so the pieces need not be put together.
            let prefix = Prefix::parse(*head).map_err(framing)?;
            let message = message.get(..prefix.length).unwrap_or(message);
            if let Some(found) = decide(prefix, message)? {
                return Ok(Some(found));
            }
        }
        let joined;
        let bytes = if let (Some(first), true) = (&self.first, self.more.is_empty()) {
            &first[..]
        } else {
            let mut all = BytesMut::with_capacity(arrived);
            self.arrived().for_each(|chunk| all.extend_from_slice(chunk));
            joined = all;
            &joined[..]
        };
        let Some((head, rest)) = bytes.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let prefix = Prefix::parse(*head).map_err(framing)?;
        let message = rest.get(..prefix.length.min(rest.len())).unwrap_or_default();
        let found = decide(prefix, message)?;
        self.wanted = (2 * arrived).min(PREFIX + prefix.length);
        Ok(found)
    }

    /// Waits until [`RequestBody::peek`] has something new to show; `false` at the end of the body.
    pub async fn pull_for_peek(&mut self) -> Result<bool, Failure> {
        loop {
            if !std::future::poll_fn(|cx| self.poll_pull(cx)).await? {
                return Ok(false);
            }
            if self.arrived().map(Bytes::len).sum::<usize>() >= self.wanted {
                return Ok(true);
            }
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.budget.give(self.held_bytes);
    }
}

/// Appends a small chunk to another.
fn join(last: Bytes, chunk: &[u8]) -> Bytes {
    let mut grown = last.try_into_mut().unwrap_or_else(|shared| {
        let mut copy = BytesMut::with_capacity(2 * SMALL);
        copy.extend_from_slice(&shared);
        copy
    });
    grown.extend_from_slice(chunk);
    grown.freeze()
}

/// A framing violation as the client sees it.
pub fn framing(error: FramingError) -> Failure {
    let code = match error {
        FramingError::TooLarge { .. } => Code::ResourceExhausted,
        FramingError::Flag(_) | FramingError::Truncated => Code::Internal,
    };
    Failure::new(code, error.to_string())
}

fn read_error(error: &h2::Error) -> Failure {
    if error.reason() == Some(h2::Reason::CANCEL) || error.is_io() {
        Failure::new(Code::Cancelled, "the client went away")
    } else {
        Failure::new(Code::Internal, format!("failed to read the request: {error}"))
    }
}

#[cfg(test)]
mod tests;
