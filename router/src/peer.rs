//! The other routers of the mesh: connections to them, what is known of them, and the wire between routers.
//!
//! A call that another router serves goes there under its own method, with its bytes untouched, over HTTP/2 on a port of
//! its own (8080). What is added are a few headers (`wire`): the concrete model, what the other router may do with the
//! call ([`Mode`](crate::mesh::hop::Mode)), and who was tried already. A router that does not take a call says so with a
//! [`Refusal`]: then it was certainly not executed. Every response carries how busy that router is ([`Busy`]).
//!
//! At most two hops: a client's call may be forwarded as `load`, that one as `hit`, and a `hit` is served or refused.

mod budget;
mod busy;
mod client;
mod health;
mod link;
mod refusal;
mod service;
mod table;
pub(crate) mod wire;

pub use self::{
    busy::Busy,
    client::PeerError,
    link::{InFlight, Peer},
    refusal::Refusal,
    service::{PeerService, service},
    table::{PeerOptions, Peers},
};
pub use crate::core::fleet::{InstanceId, Ix, PeerLoad};

/// Milliseconds since the epoch.
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
