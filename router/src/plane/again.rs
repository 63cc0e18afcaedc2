//! When a call is made again, and where.
//!
//! A call is repeated when it was certainly not executed: the runtime does not have the model, another router refused
//! it, or it was never sent. One that may have been executed is repeated only when its client, or its method, says that
//! this does no harm.

use std::time::{Duration, Instant};

use api::names::{headers, methods};
use http::request::Parts;
use tonic::Code;

use super::{Plan, Plane, status::is_lost};
use crate::{
    exchange::{Broken, Exchange},
    failure::{self, Failure},
    mesh::hop::{Hop, Origin, Refused, Remote, Route},
    peer::Refusal,
    request::Retry,
    upstream::{CallError, Head},
};

/// How often one request is sent, wherever. As upstream.
const ATTEMPTS: u32 = 8;
/// How often it is sent to the model server here: the first time, and again after the runtime forgot the model or refused
/// the stream.
const ATTEMPTS_HERE: u32 = 3;
/// Copies of which a `NOT_FOUND` is known to be the model's own answer.
pub(super) const GENUINE: usize = 10_000;
/// How long that is believed: a runtime may forget such a model too, but a reload for every answer costs too much.
const GENUINE_FOR: Duration = Duration::from_mins(10);
/// Methods that only read.
const SAFE: [&str; 3] = [
    methods::MODEL_METADATA,
    methods::MODEL_CONFIG,
    methods::MODEL_STATISTICS,
];

/// What changes from attempt to attempt.
pub(super) struct Attempt {
    pub(super) parts: Parts,
    pub(super) hop: Hop,
    pub(super) deadline: Option<Instant>,
    /// May be executed more than once.
    safe: bool,
    number: u32,
    here: u32,
    /// The copy that is asked.
    pub(super) generation: u64,
    /// That copy was loaded just now, because the one before it was lost.
    reloaded: bool,
}

impl Attempt {
    pub(super) fn new(parts: Parts, hop: Hop, deadline: Option<Instant>, retry: Retry) -> Self {
        let safe = retry == Retry::Safe || SAFE.contains(&parts.uri.path());
        Self {
            parts,
            hop,
            deadline,
            safe,
            number: 1,
            here: 1,
            generation: 0,
            reloaded: false,
        }
    }

    pub(super) fn is_first(&self) -> bool {
        self.number == 1
    }

    /// Another place may be looked for. A router that was asked for a copy by another one tries another copy and then
    /// itself; one that was asked for the copy that it has leaves it to the first.
    fn may_go_elsewhere(&self) -> bool {
        match self.hop.origin {
            Origin::Client { .. } => self.number < ATTEMPTS,
            Origin::Load => self.number < ATTEMPTS_HERE,
            Origin::Hit => false,
        }
    }
}

/// What is wrong with a response that ended before it began.
pub(super) enum Why {
    /// The runtime does not have the model.
    NoModel,
    /// Another router did not take the call.
    Refused(Refusal),
}

impl Why {
    pub(super) fn because_of(self, head: Head) -> Lost {
        match self {
            Self::NoModel => Lost::Model(head),
            Self::Refused(refusal) => Lost::Refused(refusal, head),
        }
    }
}

/// Why a call is to be made again.
pub(super) enum Lost {
    /// The runtime does not have the model.
    Model(Head),
    /// Another router did not take the call.
    Refused(Refusal, Head),
    /// The call broke off.
    Call(Broken),
}

impl Plane {
    /// Looks at the beginning of a response, and makes it the client's: `None` when it is.
    pub(super) fn judge(&self, head: &mut Head, exchange: &Exchange, attempt: &Attempt) -> Option<Why> {
        if let Some(remote) = exchange.remote() {
            remote.peer().answered(&mut head.headers);
            let refusal = Refusal::of(&head.headers).filter(|_| head.end);
            head.headers.remove(headers::REFUSED);
            return refusal.map(Why::Refused);
        }
        if head.end {
            if self.seems_lost(head, attempt) {
                return Some(Why::NoModel);
            }
            self.translate_status(attempt.parts.uri.path(), &mut head.headers);
        }
        None
    }

    /// The runtime says that it does not have the model, and may well mean it.
    fn seems_lost(&self, head: &Head, attempt: &Attempt) -> bool {
        let Some(code) = failure::code(&head.headers).filter(|code| *code != Code::Ok) else {
            return false;
        };
        if !is_lost(code, &failure::message(&head.headers)) {
            return false;
        }
        if attempt.reloaded {
            // Lost again right after a load: then it is the model's own answer, and no reason to reload.
            self.genuine.insert(attempt.generation, Instant::now());
        }
        let genuine = self.genuine.get(&attempt.generation);
        attempt.here < ATTEMPTS_HERE && genuine.is_none_or(|since| since.elapsed() >= GENUINE_FOR)
    }

    /// Makes the call once more, or says why not.
    pub(super) async fn again(
        &self,
        exchange: Box<Exchange>,
        lost: Lost,
        plan: &Plan,
        attempt: &mut Attempt,
    ) -> Result<Box<Exchange>, Failure> {
        let path = attempt.parts.uri.path();
        let exchange = match lost {
            Lost::Model(head) => return self.reload(exchange, &head, plan, attempt).await,
            Lost::Call(broken @ Broken::Client(_)) => return Err(self.broken(path, &exchange, broken)),
            Lost::Refused(refusal, head) => {
                if let Some(remote) = exchange.remote() {
                    let refused = refused(remote, Some(refusal), &head);
                    attempt.hop.refused(refused);
                }
                exchange
            }
            Lost::Call(Broken::Server(error)) => {
                let again = error.is_unsent() || attempt.safe;
                let is_here = exchange.remote().is_none();
                if is_here && error.is_unsent() && attempt.here < ATTEMPTS_HERE && !self.can_leave(&error) {
                    return self.repeat(exchange, &error, plan, attempt);
                }
                // The router that forwarded the call looks further where it was not sent.
                let is_asked = !matches!(attempt.hop.origin, Origin::Client { .. });
                let refusal = (is_asked && error.is_unsent()).then_some(Refusal::NotHere);
                let failure = self.broken(path, &exchange, Broken::Server(error));
                if !again || (is_here && self.peers.is_none()) {
                    return Err(failure);
                }
                attempt.hop.tried_here |= is_here;
                attempt.hop.refused(Refused {
                    instance: exchange.remote().map(Remote::instance),
                    refusal,
                    code: failure.code,
                    text: failure.message,
                });
                exchange
            }
        };
        self.elsewhere(exchange, plan, attempt).await
    }

    /// Sends the call once more to the model server here: it has not seen it.
    fn repeat(
        &self,
        exchange: Box<Exchange>,
        error: &CallError,
        plan: &Plan,
        attempt: &mut Attempt,
    ) -> Result<Box<Exchange>, Failure> {
        let (Some(body), Some(route)) = exchange.unwind() else {
            return Err(self.translate(attempt.parts.uri.path(), &error.failure().trailers()));
        };
        attempt.number += 1;
        attempt.here += 1;
        self.attempt(attempt, body, plan, route)
    }

    /// A model server that is not there may be there at another router, which needs no waiting.
    fn can_leave(&self, error: &CallError) -> bool {
        self.peers.is_some() && matches!(error, CallError::Unreachable(_))
    }

    /// Has the model loaded again, and sends the call once more.
    async fn reload(
        &self,
        exchange: Box<Exchange>,
        head: &Head,
        plan: &Plan,
        attempt: &mut Attempt,
    ) -> Result<Box<Exchange>, Failure> {
        let (body, route) = exchange.unwind();
        let Some(Route::Here(old)) = route else {
            return Err(self.translate(attempt.parts.uri.path(), &head.headers));
        };
        tracing::info!(model = %old.id(), "the runtime no longer has the model; loading it again");
        // By name: a vmodel may have moved on in the meantime.
        self.mesh.cache().forget(old);
        attempt.reloaded = true;
        let fresh = self.place(plan, &mut attempt.hop).await?;
        let Some(body) = body else {
            // This request cannot find out whether that helped; the next ones must not reload for ever.
            if let Route::Here(fresh) = &fresh {
                self.genuine.insert(fresh.generation(), Instant::now());
            }
            return Err(self.translate(attempt.parts.uri.path(), &head.headers));
        };
        attempt.number += 1;
        attempt.here += 1;
        self.attempt(attempt, body, plan, fresh)
    }

    /// Looks for another place; what the last one said is the answer where there is none.
    async fn elsewhere(
        &self,
        exchange: Box<Exchange>,
        plan: &Plan,
        attempt: &mut Attempt,
    ) -> Result<Box<Exchange>, Failure> {
        let last = |attempt: &mut Attempt| match attempt.hop.last.take() {
            Some(refused) => Failure::from(*refused),
            None => Failure::new(Code::Unavailable, "no router takes the call"),
        };
        if !attempt.may_go_elsewhere() {
            return Err(last(attempt));
        }
        let (Some(body), _) = exchange.unwind() else {
            return Err(last(attempt));
        };
        if !self.peers.as_ref().is_some_and(|peers| peers.may_retry()) {
            let mut failure = last(attempt);
            failure.message.push_str(" (too many calls are being repeated)");
            return Err(failure);
        }
        attempt.number += 1;
        attempt.hop.attempt = attempt.hop.attempt.saturating_add(1);
        let route = self.place(plan, &mut attempt.hop).await?;
        self.attempt(attempt, body, plan, route)
    }
}

fn refused(remote: &Remote, refusal: Option<Refusal>, head: &Head) -> Refused {
    let code = failure::code(&head.headers).filter(|code| *code != Code::Ok);
    Refused {
        instance: Some(remote.instance()),
        refusal,
        code: code.unwrap_or(Code::Unavailable),
        text: failure::message(&head.headers),
    }
}
