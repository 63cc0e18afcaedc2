//! What of a router speaks TLS, made from its settings.

use std::time::Duration;

use kit::drain::Drain;

use crate::{args::TlsConfig, listen, server::Secured, upstream};

/// Everything that speaks TLS.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Listeners.
    pub secured: Secured,
    /// Metrics, where they are served over HTTPS.
    pub metrics: Option<listen::Tls>,
    /// Calls to other routers.
    pub peers: Option<upstream::Tls>,
}

#[cfg(feature = "tls")]
mod with {
    use kit::tls::{Callers, Client, ClientFiles, Identity, Server, ServerFiles, TlsError, self_signed};

    use super::{Drain, Duration, Parts, Secured, TlsConfig};
    use crate::args::{ClientAuth, PeerTls};

    const HTTP2: &[&str] = &["h2"];
    const ANY_HTTP: &[&str] = &["h2", "http/1.1"];

    impl Parts {
        /// Reads the files that the settings name. `metrics`: metrics are served over HTTPS.
        pub fn read(config: Option<&TlsConfig>, metrics: bool) -> anyhow::Result<Self> {
            let Some(config) = config else {
                let metrics = metrics.then(|| self_signed(&["localhost", "stowage-router"], ANY_HTTP));
                return Ok(Self {
                    metrics: metrics.transpose()?,
                    ..Self::default()
                });
            };
            let identity = Identity {
                chain: config.cert.clone(),
                key: config.key.clone(),
            };
            let clients = match config.client_auth {
                ClientAuth::None => Callers::Unknown,
                ClientAuth::Optional => Callers::Checked(config.trust.clone()),
                ClientAuth::Require => Callers::Required(config.trust.clone()),
            };
            let server = |callers: Callers, protocols: &[&'static str]| {
                Server::read(ServerFiles {
                    identity: identity.clone(),
                    callers,
                    protocols: protocols.to_vec(),
                })
            };
            let routers = |peers: &PeerTls| {
                let callers = if peers.client_auth {
                    Callers::Peers(peers.trust.clone())
                } else {
                    Callers::Unknown
                };
                server(callers, HTTP2)
            };
            let peer = |peers: &PeerTls| -> Result<Client, TlsError> {
                Client::read(ClientFiles {
                    identity: Some(identity.clone()),
                    trust: peers.trust.clone(),
                    name: peers.name.clone(),
                    protocols: HTTP2.to_vec(),
                })
            };
            Ok(Self {
                secured: Secured {
                    grpc: Some(server(clients.clone(), HTTP2)?),
                    rest: Some(server(clients, ANY_HTTP)?),
                    routers: config.peers.as_ref().map(routers).transpose()?,
                },
                metrics: metrics.then(|| server(Callers::Unknown, ANY_HTTP)).transpose()?,
                peers: config.peers.as_ref().map(peer).transpose()?,
            })
        }

        /// Reads the files again when they change, until the drain has finished.
        pub fn follow(&self, interval: Duration, drain: Drain) {
            let Secured { grpc, rest, routers } = &self.secured;
            let servers = [grpc, rest, routers, &self.metrics];
            let servers = servers.into_iter().flatten().cloned().collect();
            let clients = self.peers.iter().cloned().collect();
            tokio::spawn(kit::tls::follow(servers, clients, interval, drain));
        }
    }
}

#[cfg(not(feature = "tls"))]
impl Parts {
    /// There is nothing to read: a build without the feature refuses such settings before.
    pub fn read(config: Option<&TlsConfig>, _metrics: bool) -> anyhow::Result<Self> {
        anyhow::ensure!(config.is_none(), "this program is built without TLS");
        Ok(Self::default())
    }

    /// There is nothing to follow.
    pub fn follow(&self, _interval: Duration, _drain: Drain) {}
}
