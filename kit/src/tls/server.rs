//! The side that is called.

use std::{fmt, io, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::{net::TcpStream, sync::Semaphore, time};
use tokio_rustls::TlsAcceptor;

use super::{
    HANDSHAKE_TIMEOUT, Identity, ServerStream, TlsError,
    files::{certificates, roots},
    plain, provider,
    trust::PeerVerifier,
};

/// Handshakes of one listener at once. Each costs a signature, a millisecond of CPU, and some kB; who stalls gives the
/// place back when the time for handshakes is over.
const HANDSHAKES: usize = 512;

/// Whether callers must show who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Nobody is asked.
    Unknown,
    /// Who shows a certificate must have one of these authorities.
    Checked(Vec<PathBuf>),
    /// Everybody must show one of these authorities.
    Required(Vec<PathBuf>),
    /// Everybody must show one of these authorities, or one of these certificates itself.
    Peers(Vec<PathBuf>),
}

/// What a server is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    /// Its certificate.
    pub identity: Identity,
    /// Who may call.
    pub callers: Callers,
    /// Protocols that it speaks, the preferred one first: `h2`, `http/1.1`.
    pub protocols: Vec<&'static str>,
}

/// Answers handshakes. Cheap to clone; clones change together.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    files: Option<ServerFiles>,
    config: ArcSwap<ServerConfig>,
    handshakes: Semaphore,
}

impl Server {
    /// Reads the files. Blocks for as long as that takes.
    pub fn read(files: ServerFiles) -> Result<Self, TlsError> {
        let config = config(&files)?;
        Ok(Self::with(Some(files), config))
    }

    /// A server with one certificate that never changes.
    pub(super) fn fixed(pair: CertifiedKey, protocols: &[&'static str]) -> Result<Self, TlsError> {
        let config = build(Arc::new(pair), Arc::new(NoClientAuth), protocols)?;
        Ok(Self::with(None, config))
    }

    fn with(files: Option<ServerFiles>, config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(Inner {
            files,
            config: ArcSwap::new(config),
            handshakes: Semaphore::new(HANDSHAKES),
        }))
    }

    /// Reads the files again; those that cannot be used change nothing.
    pub fn reload(&self) -> Result<(), TlsError> {
        if let Some(files) = &self.0.files {
            self.0.config.store(config(files)?);
        }
        Ok(())
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let Some(files) = &self.0.files else {
            return Vec::new();
        };
        let mut paths = vec![files.identity.chain.clone(), files.identity.key.clone()];
        match &files.callers {
            Callers::Unknown => {}
            Callers::Checked(trust) | Callers::Required(trust) | Callers::Peers(trust) => {
                paths.extend(trust.iter().cloned());
            }
        }
        paths
    }

    /// Does the handshake, within a time of its own. Who speaks no TLS gets an answer that says so where there is one in
    /// the protocol that it speaks.
    pub async fn accept(&self, socket: TcpStream) -> io::Result<ServerStream<TcpStream>> {
        let handshake = async {
            let _place = self.0.handshakes.acquire().await.map_err(io::Error::other)?;
            let socket = plain::answer(socket).await?;
            TlsAcceptor::from(self.0.config.load_full()).accept(socket).await
        };
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

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.0.files).finish()
    }
}

fn config(files: &ServerFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier: Arc<dyn ClientCertVerifier> = match &files.callers {
        Callers::Unknown => Arc::new(NoClientAuth),
        Callers::Checked(trust) => {
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(trust)?), provider());
            let built = builder.allow_unauthenticated().build();
            built.map_err(|error| TlsError::Setup(error.to_string()))?
        }
        Callers::Required(trust) => {
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(trust)?), provider());
            let built = builder.build();
            built.map_err(|error| TlsError::Setup(error.to_string()))?
        }
        Callers::Peers(trust) => {
            let mut trusted = Vec::new();
            for path in trust {
                trusted.extend(certificates(path)?);
            }
            PeerVerifier::of(trusted, None)?
        }
    };
    build(files.identity.read()?, verifier, &files.protocols)
}

fn build(
    pair: Arc<CertifiedKey>,
    verifier: Arc<dyn ClientCertVerifier>,
    protocols: &[&'static str],
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Setup(error.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}
