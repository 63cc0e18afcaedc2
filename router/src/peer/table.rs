//! The other routers by number.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::time::{self, Instant, MissedTickBehavior};

use super::{Busy, InstanceId, Ix, Peer, PeerLoad, budget::RetryBudget};
use crate::upstream::{Pings, PoolOptions, Tls};

/// How connections to other routers behave.
#[derive(Clone, Debug)]
pub struct PeerOptions {
    /// Connections to each router that is in use.
    pub pool: PoolOptions,
    /// When a router is taken for dead.
    pub pings: Pings,
    /// Connections that nobody uses for so long are closed.
    pub idle: Duration,
    /// TLS, where routers speak it.
    pub tls: Option<Tls>,
}

impl Default for PeerOptions {
    fn default() -> Self {
        Self {
            // Two: so that neither one lock nor one TCP window bounds everything. A mesh of a thousand routers has as
            // many connections as it has pairs that talk.
            pool: PoolOptions {
                connections: 2,
                connect_timeout: Duration::from_secs(3),
            },
            // Routers of this kind do not mind, and who waits for a dead one waits in vain.
            pings: Pings {
                interval: Duration::from_secs(5),
                timeout: Duration::from_secs(5),
            },
            idle: Duration::from_mins(5),
            tls: None,
        }
    }
}

/// The other routers. Reading takes no lock.
#[derive(Debug)]
pub struct Peers {
    own: InstanceId,
    table: ArcSwap<Table>,
    /// Held while the table is replaced.
    writing: Mutex<()>,
    options: Arc<PeerOptions>,
    budget: RetryBudget,
    busy: Arc<Busy>,
    start: Instant,
}

#[derive(Clone, Debug, Default)]
struct Table {
    by_ix: Vec<Option<Arc<Peer>>>,
    by_id: HashMap<InstanceId, Ix>,
}

impl Peers {
    /// No peers yet. `own` is what this router is called. Must be called on a tokio runtime.
    pub fn new(own: InstanceId, options: PeerOptions) -> Arc<Self> {
        let peers = Arc::new(Self {
            own,
            table: ArcSwap::default(),
            writing: Mutex::new(()),
            options: Arc::new(options),
            budget: RetryBudget::new(),
            busy: Arc::new(Busy::new()),
            start: Instant::now(),
        });
        tokio::spawn(close_idle(Arc::downgrade(&peers), peers.options.idle));
        peers
    }

    /// What this router is called.
    pub fn own(&self) -> &InstanceId {
        &self.own
    }

    /// An instance has this number, and takes calls at this address; `None` = it is gone, or takes none. Calls that are
    /// under way there go on. A peer whose name and address stay the same keeps its connections.
    pub fn set(&self, ix: Ix, id: InstanceId, addr: Option<SocketAddr>) {
        let _writing = self.writing.lock();
        let current = self.get(ix);
        let same = |peer: &Arc<Peer>| *peer.id() == id && Some(peer.addr()) == addr;
        if current.as_ref().map_or(addr.is_none(), same) {
            return;
        }
        let mut table = Table::clone(&self.table.load());
        if let Some(current) = &current
            && table.by_id.get(current.id()) == Some(&ix)
        {
            table.by_id.remove(current.id());
        }
        let index = ix as usize;
        if addr.is_some() && table.by_ix.len() <= index {
            table.by_ix.resize(index + 1, None);
        }
        if let Some(slot) = table.by_ix.get_mut(index) {
            *slot = addr.map(|addr| {
                Arc::new(Peer::new(
                    ix,
                    id.clone(),
                    addr,
                    self.options.clone(),
                    self.busy.clone(),
                ))
            });
        }
        if addr.is_some() {
            table.by_id.insert(id, ix);
        }
        self.table.store(Arc::new(table));
    }

    /// The peer with this number.
    pub fn get(&self, ix: Ix) -> Option<Arc<Peer>> {
        self.table.load().by_ix.get(ix as usize)?.clone()
    }

    /// The number of an instance that is a peer.
    pub fn number(&self, id: &str) -> Option<Ix> {
        self.table.load().by_id.get(id).copied()
    }

    /// What is known of the load of a peer; nothing of one that is none.
    pub fn load(&self, ix: Ix) -> PeerLoad {
        let table = self.table.load();
        match table.by_ix.get(ix as usize) {
            Some(Some(peer)) => peer.load(),
            _ => PeerLoad::default(),
        }
    }

    /// How busy this router is.
    pub fn busy(&self) -> &Busy {
        &self.busy
    }

    /// A call is forwarded for the first time: that pays for repetitions.
    pub(crate) fn pay(&self) {
        self.budget.pay();
    }

    /// Whether another attempt fits the budget.
    pub(crate) fn may_retry(&self) -> bool {
        let elapsed = self.start.elapsed().as_millis();
        self.budget.take(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }
}

async fn close_idle(peers: Weak<Peers>, idle: Duration) {
    let mut turns = time::interval(idle.max(Duration::from_millis(10)) / 4);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let Some(peers) = peers.upgrade() else { return };
        for peer in peers.table.load().by_ix.iter().flatten() {
            peer.close_idle(idle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[tokio::test]
    async fn peers_come_move_and_go() {
        let peers = Peers::new("me".into(), PeerOptions::default());
        assert!(peers.get(0).is_none());
        assert_eq!(peers.load(7), PeerLoad::default());
        peers.set(2, "two".into(), Some(addr(2)));
        peers.set(0, "zero".into(), Some(addr(9)));
        let two = peers.get(2).unwrap();
        assert_eq!((peers.number("two"), peers.number("one")), (Some(2), None));
        peers.set(2, "two".into(), Some(addr(2)));
        assert!(Arc::ptr_eq(&two, &peers.get(2).unwrap()), "nothing changed");
        peers.set(2, "two".into(), Some(addr(3)));
        assert!(!Arc::ptr_eq(&two, &peers.get(2).unwrap()), "it moved");
        peers.set(2, "other".into(), Some(addr(3)));
        assert_eq!((peers.number("two"), peers.number("other")), (None, Some(2)));
        peers.set(2, "other".into(), None);
        peers.set(5, "never".into(), None);
        assert!(peers.get(2).is_none() && peers.get(5).is_none() && peers.get(0).is_some());
        assert_eq!(peers.number("other"), None);
    }

    #[tokio::test]
    async fn calls_count_until_they_end() {
        let peers = Peers::new("me".into(), PeerOptions::default());
        peers.set(1, "one".into(), Some(addr(1)));
        let peer = peers.get(1).unwrap();
        let calls = [Peer::enter(&peer), Peer::enter(&peer)];
        assert_eq!(peers.load(1).sent, 2);
        drop(calls);
        assert_eq!(peers.load(1).sent, 0);
        let mut headers = http::HeaderMap::new();
        headers.insert("stowage-load", http::HeaderValue::from_static("5,6"));
        peer.answered(&mut headers);
        assert!(headers.is_empty());
        let load = peers.load(1);
        assert_eq!((load.in_flight, load.queued), (5, 6));
        assert!(load.at_ms > 0);
    }

    #[tokio::test]
    async fn idle_connections_are_closed() {
        let idle = Duration::from_secs(1);
        let options = PeerOptions {
            idle,
            ..PeerOptions::default()
        };
        let peers = Peers::new("me".into(), options);
        peers.set(1, "one".into(), Some(addr(1)));
        let peer = peers.get(1).unwrap();
        assert!(!peer.is_connected(), "made when first needed");
        let call = Peer::enter(&peer);
        drop(peer.upstream());
        peer.close_idle(Duration::ZERO);
        assert!(peer.is_connected(), "a call is under way");
        drop(call);
        peer.close_idle(idle);
        assert!(peer.is_connected(), "used just now");
        peer.close_idle(Duration::ZERO);
        assert!(!peer.is_connected());
    }
}
