//! Where a call goes: to a copy here, or to another router. What the data plane asks, and what the mesh answers.

use std::{fmt, sync::Arc};

use futures::future::BoxFuture;
use tonic::Status;

use super::Kind;
use crate::{
    cache::Lease,
    model::ModelId,
    peer::{InFlight, Ix, Peer, Refusal},
};

/// Who asks for a copy, and so how far the call may still go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client: anywhere.
    Client {
        /// It balances over routers itself, so a copy here is as good as any.
        balanced: bool,
    },
    /// Another router that believes that there is a copy here: only to that copy.
    Hit,
    /// Another router that wants the model loaded here: to a copy here, which may be loaded, or one [`Mode::Hit`] away.
    Load,
}

/// What another router may do with a call: `stowage-hop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Serve it with the copy that it has, or refuse.
    Hit,
    /// Serve it, load the model and serve it, or forward it as [`Mode::Hit`].
    Load,
}

impl Mode {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Load => "load",
        }
    }

    /// The meaning of a word.
    pub fn parse(word: &[u8]) -> Option<Self> {
        [Self::Hit, Self::Load]
            .into_iter()
            .find(|mode| mode.as_str().as_bytes() == word)
    }
}

/// One call on its way, over all of its attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Who asks.
    pub origin: Origin,
    /// Instances that were tried without success, here or by the router before; at most as many as there are attempts.
    pub tried: Vec<Ix>,
    /// The copy here was tried without success: it is no answer any more.
    pub tried_here: bool,
    /// The router that forwarded the call.
    pub from: Option<Ix>,
    /// Which of the models that share a vmodel gets the call, from 0 to 99; `None` = drawn when it comes to that.
    pub draw: Option<u8>,
    /// Attempts so far.
    pub attempt: u8,
    /// What the last of `tried` said; when there is no place left, the client should hear of it.
    pub last: Option<Box<Refused>>,
}

/// The answer of an instance that did not execute a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Who.
    pub instance: Option<Ix>,
    /// Why; `None` = it could not be reached.
    pub refusal: Option<Refusal>,
    /// Code for the client, if there is no other place.
    pub code: tonic::Code,
    /// Text.
    pub text: String,
}

impl Hop {
    /// A call that has just come in from a client.
    pub const fn of_client(balanced: bool) -> Self {
        Self {
            origin: Origin::Client { balanced },
            tried: Vec::new(),
            tried_here: false,
            from: None,
            draw: None,
            attempt: 0,
            last: None,
        }
    }

    /// An instance did not execute the call: it is not asked again.
    pub fn refused(&mut self, refused: Refused) {
        if let Some(instance) = refused.instance
            && !self.tried.contains(&instance)
        {
            self.tried.push(instance);
        }
        self.last = Some(Box::new(refused));
    }
}

impl Default for Hop {
    fn default() -> Self {
        Self::of_client(false)
    }
}

/// Where a call goes.
#[derive(Debug)]
pub enum Route {
    /// To the copy here.
    Here(Lease),
    /// To another router.
    There(Remote),
}

/// A call that another router is going to serve; counts as in flight there until it is dropped.
#[derive(Debug)]
pub struct Remote {
    peer: InFlight,
    model: ModelId,
    mode: Mode,
}

impl Remote {
    /// A call to `model` at `peer`.
    pub fn new(peer: &Arc<Peer>, model: ModelId, mode: Mode) -> Self {
        Self {
            peer: Peer::enter(peer),
            model,
            mode,
        }
    }

    /// The other router.
    pub fn peer(&self) -> &Arc<Peer> {
        self.peer.peer()
    }

    /// Its number.
    pub fn instance(&self) -> Ix {
        self.peer().ix()
    }

    /// The concrete model.
    pub fn model(&self) -> &ModelId {
        &self.model
    }

    /// What the other router may do.
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

/// What is known at once.
#[derive(Debug)]
pub enum TryRoute {
    /// The call can go.
    Ready(Route),
    /// The model exists, but nobody is ready for it: [`Routes::enter`] waits.
    Cold,
    /// There is no such name.
    NotFound,
}

/// Finds a place for a call. [`Mesh`](super::Mesh) does; tests have tables.
pub trait Routes: Send + Sync + fmt::Debug {
    /// What decides which model gets a call where several share a name: the same for all attempts, and for all calls of a
    /// client where the name asks for that. `None` = nothing has to be decided.
    fn draw(&self, _name: &str, _kind: Kind, _headers: &http::HeaderMap) -> Option<u8> {
        None
    }

    /// Warm path: no lock, no wait.
    fn try_enter(&self, name: &str, kind: Kind, hop: &Hop) -> TryRoute;

    /// Waits for a place: for a load here, for example. Asked again after an attempt failed, with what was tried in
    /// `hop`. For a call of another router, an error that [`Refusal::status`] made says that it may go elsewhere.
    fn enter<'a>(
        &'a self,
        name: &'a str,
        kind: Kind,
        hop: &'a mut Hop,
    ) -> BoxFuture<'a, Result<Route, Status>>;
}
