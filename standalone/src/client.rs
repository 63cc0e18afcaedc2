//! Commands that ask a running server.

use std::error::Error;

pub mod infer;
pub mod models;

use crate::address::Server;

/// Nobody answers at `server`: the innermost reason, which libraries wrap several times, and what to do.
fn no_server(server: &Server, err: &(dyn Error + 'static)) -> anyhow::Error {
    let mut reason = err;
    while let Some(source) = reason.source() {
        reason = source;
    }
    anyhow::anyhow!(
        "no server at {server} ({reason}); start one with: stowage serve, or name another with --server"
    )
}
