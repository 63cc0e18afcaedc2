//! Commands that ask a running server.

pub mod infer;
pub mod models;

/// How to start one, for messages that say that there is none.
const NO_SERVER: &str = "is it running? start one with: stowage serve";
