//! The side that calls: another router, whose address says nothing about the names in its certificate.

use std::{fmt, io, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{ClientConfig, pki_types::ServerName, sign::SingleCertAndKey};
use tokio::{net::TcpStream, time};
use tokio_rustls::TlsConnector;

use super::{
    ClientStream, HANDSHAKE_TIMEOUT, Identity, TlsError, files::certificates, provider, trust::PeerVerifier,
};

/// What a client is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// What it shows when it is asked.
    pub identity: Option<Identity>,
    /// Authorities, or certificates themselves, that servers must have.
    pub trust: Vec<PathBuf>,
    /// What servers must be called; `None` = anything.
    pub name: Option<String>,
    /// Protocols that it speaks: `h2`.
    pub protocols: Vec<&'static str>,
}

/// Makes handshakes. Cheap to clone; clones change together.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    files: ClientFiles,
    config: ArcSwap<ClientConfig>,
}

impl Client {
    /// Reads the files. Blocks for as long as that takes.
    pub fn read(files: ClientFiles) -> Result<Self, TlsError> {
        let config = ArcSwap::new(config(&files)?);
        Ok(Self(Arc::new(Inner { files, config })))
    }

    /// Reads the files again; those that cannot be used change nothing.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.0.config.store(config(&self.0.files)?);
        Ok(())
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let files = &self.0.files;
        let mut paths = files.trust.clone();
        if let Some(identity) = &files.identity {
            paths.extend([identity.chain.clone(), identity.key.clone()]);
        }
        paths
    }

    /// Does the handshake, within a time of its own.
    pub async fn connect(&self, socket: TcpStream) -> io::Result<ClientStream<TcpStream>> {
        // Who has no name is known by address.
        let name = ServerName::IpAddress(socket.peer_addr()?.ip().into());
        let handshake = TlsConnector::from(self.0.config.load_full()).connect(name, socket);
        time::timeout(HANDSHAKE_TIMEOUT, handshake)
            .await
            .unwrap_or_else(|_| {
                Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "no TLS handshake in time",
                ))
            })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.0.files).finish()
    }
}

fn config(files: &ClientFiles) -> Result<Arc<ClientConfig>, TlsError> {
    let mut trusted = Vec::new();
    for path in &files.trust {
        trusted.extend(certificates(path)?);
    }
    let name = match &files.name {
        None => None,
        Some(name) => {
            let parsed = ServerName::try_from(name.clone());
            Some(parsed.map_err(|_| TlsError::Setup(format!("{name:?} is no DNS name or IP address")))?)
        }
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Setup(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(PeerVerifier::of(trusted, name)?);
    let mut config = match &files.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.read()?)))
        }
    };
    config.alpn_protocols = files
        .protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    Ok(Arc::new(config))
}
