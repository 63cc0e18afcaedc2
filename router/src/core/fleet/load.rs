//! How busy a peer is, as far as anyone can know.

/// After this long what a peer said about its load counts for nothing: requests take milliseconds, so it says more about
/// the past than about now.
pub(super) const STALE_MS: u64 = 5_000;

/// What this router knows about the load of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerLoad {
    /// Requests that it was serving.
    pub in_flight: u32,
    /// Requests that waited there for a place in a copy.
    pub queued: u32,
    /// When it said so; 0 = never.
    pub at_ms: u64,
    /// Requests of this router that it has not answered yet.
    pub sent: u32,
    /// Its last answers were failures: only for those who have no choice.
    pub ejected: bool,
}

impl PeerLoad {
    /// Requests that are probably there now. What it reported fades with age; what this router sent does not.
    pub fn estimate(&self, now_ms: u64) -> u32 {
        let reported = u64::from(self.in_flight) + u64::from(self.queued);
        let age = now_ms.saturating_sub(self.at_ms).min(STALE_MS);
        let others = reported.saturating_sub(u64::from(self.sent));
        let faded = others * (STALE_MS - age) / STALE_MS;
        u32::try_from(u64::from(self.sent) + faded).unwrap_or(u32::MAX)
    }
}
