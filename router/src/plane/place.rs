//! From a name to a place: a copy here, or another router.

use tonic::Code;

use super::{Plan, Plane};
use crate::{
    failure::Failure,
    mesh::hop::{Hop, Mode, Origin, Route, TryRoute},
    peer::Refusal,
};

impl Plane {
    /// The warm path.
    pub(super) fn try_place(&self, plan: &Plan, hop: &Hop) -> Option<Route> {
        match self.routes.try_enter(&plan.name, plan.kind, hop) {
            TryRoute::Ready(route) if !is_too_far(&route, hop.origin) => Some(route),
            TryRoute::Ready(_) | TryRoute::Cold | TryRoute::NotFound => None,
        }
    }

    /// Waits for a place where there is none at once.
    pub(super) async fn place(&self, plan: &Plan, hop: &mut Hop) -> Result<Route, Failure> {
        if let Some(route) = self.try_place(plan, hop) {
            return Ok(route);
        }
        match self.routes.enter(&plan.name, plan.kind, hop).await {
            Ok(route) if is_too_far(&route, hop.origin) => {
                let text = "forwarding the call once more would be a hop too many";
                Err(Refusal::NotHere.status(text).into())
            }
            Ok(route) => Ok(route),
            Err(status) => Err(refused(status.into(), hop.origin)),
        }
    }
}

/// Calls of other routers go one hop further at most, and never in a circle: whatever the mesh believes.
fn is_too_far(route: &Route, origin: Origin) -> bool {
    match (route, origin) {
        (Route::Here(_), _) | (_, Origin::Client { .. }) => false,
        (Route::There(_), Origin::Hit) => true,
        (Route::There(remote), Origin::Load) => remote.mode() != Mode::Hit,
    }
}

/// A call that found no place was not executed: the router that forwarded it may look elsewhere.
fn refused(mut failure: Failure, origin: Origin) -> Failure {
    if failure.refused.is_none() && !matches!(origin, Origin::Client { .. }) {
        failure.refused = match failure.code {
            Code::NotFound => Some(Refusal::Unknown),
            Code::ResourceExhausted => Some(Refusal::Overloaded),
            // What the client did, or how long it wanted to wait, is the same everywhere.
            Code::InvalidArgument | Code::Unimplemented | Code::Cancelled => None,
            _ => Some(Refusal::Failed),
        };
    }
    failure
}
