//! TLS from PEM files that may change while the process runs.
//!
//! [`Server`] and [`Client`] hold the newest configuration that could be read; each handshake takes it, and connections
//! that are open are left alone. [`follow`] reads the files again and again. Files that cannot be used leave what is
//! there in force, and a line in the log: so it does no harm that certificate and key are written one after the other.
//!
//! Private keys reach neither logs nor errors.

mod client;
mod error;
mod files;
mod follow;
mod plain;
mod self_signed;
mod server;
mod trust;

pub use self::{
    client::{Client, ClientFiles},
    error::TlsError,
    files::Identity,
    follow::follow,
    self_signed::{SelfSignedError, self_signed},
    server::{Callers, Server, ServerFiles},
};
/// A connection with TLS, at the server.
pub use tokio_rustls::server::TlsStream as ServerStream;

/// A connection with TLS, at the client.
pub use tokio_rustls::client::TlsStream as ClientStream;

use std::{sync::Arc, time::Duration};

use rustls::crypto::CryptoProvider;

/// A handshake must be done within this time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests;
