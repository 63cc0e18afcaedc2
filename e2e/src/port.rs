//! Ports that stay free while a server restarts.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{Ipv4Addr, TcpListener},
    ops::Range,
};

/// Below the ports that kernels give to outgoing connections (Linux: 32768), which may take one while its server is
/// down, and below those of Kubernetes' services (30000).
const RANGE: Range<u16> = 20_000..30_000;
/// So many taken in a row means that something else is wrong.
const TRIES: u64 = 100;

/// A port of 127.0.0.1 on which nobody listens now. Another program may still take it first.
pub(crate) fn free() -> anyhow::Result<u16> {
    let random = RandomState::new();
    (0..TRIES)
        .map(|attempt| {
            let offset = random.hash_one(attempt) % u64::from(RANGE.end - RANGE.start);
            // Smaller than the length of the range.
            RANGE.start + u16::try_from(offset).unwrap_or_default()
        })
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .ok_or_else(|| anyhow::anyhow!("{TRIES} ports of 127.0.0.1 between {RANGE:?} are all taken"))
}

/// Whether a server that ended said that its port was another's.
pub(crate) fn was_taken(output: &str) -> bool {
    output.to_ascii_lowercase().contains("address already in use")
}
