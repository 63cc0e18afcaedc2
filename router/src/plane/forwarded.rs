//! Calls between routers: sent to another one, and taken from another one.

use api::names::methods;
use tonic::Code;

use super::{Attempt, Incoming, Plan, Plane, Reply, check_service, copy};
use crate::{
    body::RequestBody,
    edit::Editor,
    exchange::Exchange,
    failure::Failure,
    mesh::hop::{Refused, Route},
    peer::{
        InstanceId,
        wire::{self, Forwarded, HopHeaders},
    },
    request::Target,
    rules::{NameKind, Verdict},
};

impl Plane {
    /// Takes a call from another router.
    pub async fn call_forwarded(&self, incoming: Box<Incoming>) -> Result<Reply, Failure> {
        let (Some(peers), Some(internal)) = (&self.peers, &self.internal) else {
            return Err(Failure::new(Code::Unimplemented, "this router has no peers"));
        };
        let path = incoming.parts.uri.path();
        let is_internal = path
            .strip_prefix('/')
            .and_then(|path| path.strip_prefix(methods::PEER_SERVICE))
            .is_some_and(|method| method.starts_with('/'));
        if is_internal {
            return Box::pin(self.call_local(internal, incoming)).await;
        }
        let Forwarded { mut hop, name } = wire::read(&incoming.parts.headers, |id| peers.number(id))?;
        check_service(path)?;
        let Target::One(NameKind::Model, id) = &incoming.routing.target else {
            return Err(Failure::invalid("a forwarded call must name one model"));
        };
        // The first router has read the message, if it had to; what its rules said of the name is in the headers.
        let unary = match self.rules.load().of(path) {
            Verdict::Extract(extract) => extract.unary,
            Verdict::Headers | Verdict::Denied => false,
        };
        let plan = Plan {
            kind: NameKind::Model,
            name: id.as_str().to_owned(),
            asked: name,
            expect: None,
            encoding: incoming.routing.encoding,
            unary,
        };
        let route = match self.try_place(&plan, &hop) {
            Some(route) => route,
            None => Box::pin(self.place(&plan, &mut hop)).await?,
        };
        self.send(incoming, plan, hop, route).await
    }

    /// Starts a call at another router.
    pub(super) fn forward(
        &self,
        attempt: &mut Attempt,
        body: RequestBody,
        plan: &Plan,
        route: Route,
    ) -> Result<Box<Exchange>, Failure> {
        let (Some(peers), Route::There(remote)) = (&self.peers, &route) else {
            return Err(Failure::new(Code::Internal, "this router has no peers"));
        };
        if attempt.is_first() {
            peers.pay();
        }
        let tried: Vec<InstanceId> = attempt
            .hop
            .tried
            .iter()
            .filter_map(|ix| peers.get(*ix))
            .map(|peer| peer.id().clone())
            .collect();
        let name = plan.asked.as_deref().unwrap_or(&plan.name);
        let mut request = copy(&attempt.parts);
        HopHeaders {
            mode: remote.mode(),
            model: remote.model(),
            from: peers.own(),
            tried: &tried,
            name: (name != remote.model().as_str()).then_some(name),
        }
        .put(request.headers_mut());
        // The first router alone knows under which name a stream began; the bytes stay as they are.
        let editor = Editor::new(
            plan.expect.clone(),
            None,
            plan.encoding,
            self.options.message_limit,
        );
        let upstream = remote.peer().upstream();
        Exchange::start(&upstream, request, body, editor, Some(route))
    }
}

/// As the client sees it where there is no other place.
impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self {
            refused: refused.refusal,
            ..Self::new(refused.code, refused.text)
        }
    }
}
