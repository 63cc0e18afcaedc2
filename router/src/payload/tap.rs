//! The copy of one call that is made while its bytes pass.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::mpsc::error::TrySendError;
use tonic::Code;

use super::{Outcome, Payloads};

/// Memory that all copies share.
#[derive(Debug)]
pub(super) struct Memory(AtomicUsize);

impl Memory {
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(bytes)))
    }

    fn take(&self, bytes: usize) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            })
            .is_ok()
    }
}

/// Bytes of one direction: messages with their framing.
#[derive(Debug)]
pub(super) struct Copied {
    bytes: Vec<u8>,
    memory: Arc<Memory>,
}

impl Copied {
    fn new(memory: Arc<Memory>) -> Self {
        Self {
            bytes: Vec::new(),
            memory,
        }
    }

    /// False when there is no memory for it.
    fn push(&mut self, chunk: &[u8]) -> bool {
        let fits = self.memory.take(chunk.len());
        if fits {
            self.bytes.extend_from_slice(chunk);
        }
        fits
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        self.memory.0.fetch_add(self.bytes.len(), Ordering::Relaxed);
    }
}

/// How a call ended, and who answered.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Status.
    pub code: Code,
    /// Concrete model.
    pub model: String,
    /// The vmodel that it was asked for by.
    pub vmodel: Option<String>,
}

/// A call to be told of.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) method: String,
    pub(super) metadata: Vec<(String, String)>,
    pub(super) request: Copied,
    pub(super) response: Copied,
    pub(super) ended: Ended,
}

/// Copies what passes. Shared by the two directions of a call.
#[derive(Debug)]
pub struct Tap {
    id: u64,
    method: String,
    payloads: Payloads,
    /// `None` when memory was short, or the call has ended.
    state: Mutex<Option<State>>,
}

#[derive(Debug)]
struct State {
    metadata: Vec<(String, String)>,
    request: Copied,
    response: Copied,
}

impl Tap {
    pub(super) fn new(id: u64, method: String, metadata: Vec<(String, String)>, payloads: Payloads) -> Self {
        let copied = || Copied::new(payloads.0.memory.clone());
        let state = State {
            metadata,
            request: copied(),
            response: copied(),
        };
        Self {
            id,
            method,
            state: Mutex::new(Some(state)),
            payloads,
        }
    }

    /// A piece of the request, in order.
    pub fn request(&self, chunk: &[u8]) {
        self.push(|state| state.request.push(chunk));
    }

    /// A piece of the response, in order.
    pub fn response(&self, chunk: &[u8]) {
        self.push(|state| state.response.push(chunk));
    }

    fn push(&self, push: impl FnOnce(&mut State) -> bool) {
        let mut state = self.state.lock();
        if state.as_mut().is_some_and(|state| !push(state)) {
            *state = None;
            drop(state);
            self.payloads.0.metrics.count(Outcome::dropped_memory);
        }
    }

    /// The call has ended: hands the copy on, unless no processor wants this model.
    pub fn finish(&self, ended: Ended) {
        let Some(state) = self.state.lock().take() else {
            return;
        };
        let payloads = &self.payloads.0;
        let wanted = payloads.processors.iter().any(|processor| {
            processor.wants_method(&self.method)
                && processor.wants_model(&ended.model, ended.vmodel.as_deref())
        });
        if !wanted {
            return;
        }
        let State {
            metadata,
            request,
            response,
        } = state;
        let job = Job {
            id: self.id,
            method: self.method.clone(),
            metadata,
            request,
            response,
            ended,
        };
        if let Err(TrySendError::Full(_)) = payloads.queue.try_send(job) {
            payloads.metrics.count(Outcome::dropped_queue);
        }
    }
}
