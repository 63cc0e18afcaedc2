//! What every service needs once: flags, telemetry, admin endpoints, drain, status codes, exit codes.
//!
//! Code enters only when a second crate needs it. Nothing here knows models, runtimes or the registry.

pub mod admin;
pub mod args;
pub mod drain;
pub mod exit;
pub mod status;
pub mod telemetry;
pub mod threads;
#[cfg(feature = "tls")]
pub mod tls;
