//! One other router.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::HeaderMap;
use parking_lot::Mutex;

use super::{Busy, InstanceId, Ix, PeerLoad, busy, health::Health, now_ms, table::PeerOptions};
use crate::upstream::{Endpoint, Link, Pool, Upstream};

/// Connections to another router, made when they are first needed, and what is known of it.
pub struct Peer {
    ix: Ix,
    id: InstanceId,
    addr: SocketAddr,
    options: Arc<PeerOptions>,
    /// Of this router.
    busy: Arc<Busy>,
    connections: Mutex<Option<Connections>>,
    in_flight: AtomicU32,
    /// What it said last: calls in flight in the upper half, calls that wait in the lower one.
    load: AtomicU64,
    load_ms: AtomicU64,
    health: Health,
    start: Instant,
}

struct Connections {
    upstream: Upstream,
    used: Instant,
}

impl Peer {
    pub(super) fn new(
        ix: Ix,
        id: InstanceId,
        addr: SocketAddr,
        options: Arc<PeerOptions>,
        busy: Arc<Busy>,
    ) -> Self {
        Self {
            ix,
            id,
            addr,
            options,
            busy,
            connections: Mutex::new(None),
            in_flight: AtomicU32::new(0),
            load: AtomicU64::new(0),
            load_ms: AtomicU64::new(0),
            health: Health::default(),
            start: Instant::now(),
        }
    }

    /// Its number here.
    pub fn ix(&self) -> Ix {
        self.ix
    }

    /// Its name.
    pub fn id(&self) -> &InstanceId {
        &self.id
    }

    /// Where it takes calls of other routers.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A call is forwarded there: it counts until the guard is dropped.
    pub fn enter(peer: &Arc<Self>) -> InFlight {
        peer.in_flight.fetch_add(1, Ordering::Relaxed);
        peer.busy.passes();
        InFlight(Arc::clone(peer))
    }

    /// Calls of this router that it has not answered to the end.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What is known of its load.
    pub fn load(&self) -> PeerLoad {
        let load = self.load.load(Ordering::Relaxed);
        let [in_flight, queued] = [load >> 32, load & u64::from(u32::MAX)];
        PeerLoad {
            in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
            queued: u32::try_from(queued).unwrap_or(u32::MAX),
            at_ms: self.load_ms.load(Ordering::Relaxed),
            sent: self.in_flight(),
            ejected: self.health.is_ejected(self.clock_ms()),
        }
    }

    /// It has answered: it is alive, and says how busy it is. Takes that out of the headers.
    pub(crate) fn answered(&self, headers: &mut HeaderMap) {
        self.health.answered();
        if let Some(value) = headers.remove(api::names::headers::LOAD)
            && let Some((in_flight, queued)) = busy::parse(&value)
        {
            let load = u64::from(in_flight) << 32 | u64::from(queued);
            self.load.store(load, Ordering::Relaxed);
            self.load_ms.store(now_ms(), Ordering::Relaxed);
        }
    }

    /// A call broke off at the transport.
    pub(crate) fn failed(&self, error: &dyn fmt::Display) {
        if let Some(length) = self.health.failed(self.clock_ms()) {
            let for_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(peer = %self.id, addr = %self.addr, for_ms, %error, "another router fails, left alone");
        }
    }

    /// Its connections; they are made in the background when there are none.
    pub(crate) fn upstream(&self) -> Upstream {
        let mut connections = self.connections.lock();
        let connections = connections.get_or_insert_with(|| Connections {
            upstream: Upstream::Remote(Pool::with(Link {
                endpoint: Endpoint::Tcp(self.addr),
                title: format!("router {}", self.id).into(),
                options: self.options.pool,
                pings: self.options.pings,
                fail_fast: true,
                tls: self.options.tls.clone(),
            })),
            used: Instant::now(),
        });
        connections.used = Instant::now();
        connections.upstream.clone()
    }

    /// Closes connections that nobody has used for so long.
    pub(super) fn close_idle(&self, longest: Duration) {
        if self.in_flight() > 0 {
            return;
        }
        let mut connections = self.connections.lock();
        if connections
            .as_ref()
            .is_some_and(|connections| connections.used.elapsed() >= longest)
        {
            *connections = None;
        }
    }

    /// Whether there are connections, or attempts to have some.
    pub fn is_connected(&self) -> bool {
        self.connections.lock().is_some()
    }

    fn clock_ms(&self) -> u64 {
        // Not 0, which stands for never.
        u64::try_from(self.start.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .max(1)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("ix", &self.ix)
            .field("id", &self.id)
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

/// One call at a peer.
#[derive(Debug)]
pub struct InFlight(Arc<Peer>);

impl InFlight {
    /// The other router.
    pub fn peer(&self) -> &Arc<Peer> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.busy.passed();
    }
}
