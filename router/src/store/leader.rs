//! Who leads: among those who hold a key under `leaderLatch/`, the one whose key was created first.
//!
//! The mirror says who leads, and may be old; the session says whether that still counts. A router that acts as leader checks
//! both before every step, and writes with comparisons, so that two leaders for a moment do no harm.

use api::records::keys::LEADER;
use bytes::Bytes;
use tokio::time::Instant;

use super::Entry;

/// The key that an instance holds to be a candidate.
pub fn key(instance: &str) -> String {
    format!("{LEADER}_{instance}")
}

/// Its value.
pub fn value(instance: &str) -> Bytes {
    format!("_{instance}").into()
}

/// The instance that leads, of the entries under `leaderLatch/`.
pub fn leader<'a>(candidates: impl IntoIterator<Item = &'a Entry>) -> Option<&'a str> {
    let name = |entry: &'a Entry| Some((entry.created, entry.key.strip_prefix(LEADER)?.strip_prefix('_')?));
    let first = candidates.into_iter().filter_map(name).min()?;
    Some(first.1)
}

/// Whether this instance leads and may act, with the session's end as [`Store::session`](super::Store::session) tells it.
pub fn leads<'a>(
    candidates: impl IntoIterator<Item = &'a Entry>,
    instance: &str,
    session: Option<Instant>,
    now: Instant,
) -> bool {
    session.is_some_and(|end| now < end) && leader(candidates) == Some(instance)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn candidate(key: &str, created: u64, revision: u64) -> Entry {
        Entry {
            key: key.into(),
            value: Bytes::new(),
            revision,
            created,
        }
    }

    #[test]
    fn the_first_candidate_leads() {
        let entries = [
            candidate(&key("b"), 7, 7),
            candidate(&key("a"), 9, 9),
            // Written again later, but created first.
            candidate(&key("c"), 5, 20),
            candidate("leaderLatch/strange", 1, 1),
            candidate("registry/_d", 1, 1),
        ];
        assert_eq!(leader(&entries), Some("c"));
        assert_eq!(leader(&entries[..2]), Some("b"));
        assert_eq!(leader(&entries[3..]), None);
        assert_eq!((&*key("x"), &value("x")[..]), ("leaderLatch/_x", &b"_x"[..]));
    }

    #[test]
    fn who_has_no_session_does_not_lead() {
        let entries = [candidate(&key("a"), 7, 7)];
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        assert!(leads(&entries, "a", Some(later), now));
        assert!(!leads(&entries, "b", Some(later), now));
        assert!(!leads(&entries, "a", Some(later), later));
        assert!(!leads(&entries, "a", None, now));
    }
}
