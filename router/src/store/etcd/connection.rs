//! One connection to one member of the cluster.

use std::{error::Error, fmt, io, sync::Arc, time::Duration};

use api::etcd::{
    AuthenticateRequest, RangeRequest, auth_client::AuthClient, kv_client::KvClient,
    lease_client::LeaseClient, watch_client::WatchClient,
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{self, Channel},
};

use super::{
    config::{Endpoint, Settings},
    tls,
};

/// Largest message of etcd that is taken: what ModelMesh takes.
const MAX_MESSAGE: usize = 256 << 20;
/// Receive windows: a page of a snapshot shall not wait for window updates.
const WINDOW: u32 = 2 << 20;
/// A connection that is in use is asked so often whether it lives; etcd closes those that ask every five seconds.
const PING: Duration = Duration::from_secs(10);
/// How long it may take to answer that.
const PONG: Duration = Duration::from_secs(5);

/// Why a member could not be connected to.
#[derive(Clone, Debug)]
pub(super) struct ConnectError {
    pub(super) reason: String,
    /// It could be reached, but does not let us in.
    pub(super) denied: bool,
}

impl From<String> for ConnectError {
    fn from(reason: String) -> Self {
        let denied = false;
        Self { reason, denied }
    }
}

/// A connection that has broken does not come back: somebody makes a new one, to another member perhaps.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) endpoint: Endpoint,
    service: Service,
}

pub(super) type Service = InterceptedService<Channel, Headers>;

/// What every request carries.
#[derive(Clone)]
pub(super) struct Headers {
    token: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let headers = request.metadata_mut();
        if let Some(token) = &self.token {
            headers.insert("token", token.clone());
        }
        // A member that is cut off from the others refuses, instead of telling what was true once.
        headers.insert("hasleader", MetadataValue::from_static("true"));
        Ok(request)
    }
}

impl fmt::Debug for Headers {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Headers").finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects and logs in. The caller sets the deadline.
    pub(super) async fn open(endpoint: &Endpoint, settings: &Settings) -> Result<Self, ConnectError> {
        let address = (endpoint.host.as_str(), endpoint.port);
        let tcp = TcpStream::connect(address).await.map_err(|err| err.to_string())?;
        tcp.set_nodelay(true).map_err(|err| err.to_string())?;
        let channel = match &settings.tls {
            None => channel(tcp, endpoint, settings).await?,
            Some(tls) => {
                let config = tls::config(tls)?;
                let name = settings.override_authority.as_deref().unwrap_or(&endpoint.host);
                // A name in the settings may have a port, which a certificate has not.
                let name = name.rsplit_once(':').map_or(name, |(host, port)| {
                    let is_port = port.parse::<u16>().is_ok() && !host.contains(':');
                    if is_port { host } else { name }
                });
                let name = tls::server_name(name)?;
                let handshake = TlsConnector::from(Arc::new(config)).connect(name, tcp);
                let stream = handshake.await.map_err(|err| format!("TLS: {err}"))?;
                channel(stream, endpoint, settings).await?
            }
        };
        let token = match &settings.user {
            None => None,
            Some((user, password)) => token(channel.clone(), user, password).await?,
        };
        let connection = Self {
            endpoint: endpoint.clone(),
            service: InterceptedService::new(channel, Headers { token }),
        };
        connection.probe().await?;
        Ok(connection)
    }

    /// Whether the member works and knows a leader. The system accepts connections for one that hangs, and one that is cut off
    /// from the others is of no use.
    async fn probe(&self) -> Result<(), ConnectError> {
        let request = RangeRequest {
            key: b"health".to_vec(),
            serializable: true,
            keys_only: true,
            limit: 1,
            ..RangeRequest::default()
        };
        match self.kv().range(request).await {
            Err(status) if !is_refusal(&status) => Err(format!("no answer: {}", status.message()).into()),
            // Not to let us read this key is an answer too.
            _ => Ok(()),
        }
    }

    pub(super) fn kv(&self) -> KvClient<Service> {
        KvClient::new(self.service.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    pub(super) fn watch(&self) -> WatchClient<Service> {
        WatchClient::new(self.service.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    pub(super) fn lease(&self) -> LeaseClient<Service> {
        LeaseClient::new(self.service.clone())
    }
}

/// Whether the member decided about a call by itself, and decided against it.
fn is_refusal(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::PermissionDenied | Code::Unauthenticated | Code::InvalidArgument | Code::FailedPrecondition
    )
}

/// What the connection was is gone; found in the causes of a status, it says that the call was not sent.
#[derive(Debug)]
struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection has ended")
    }
}

impl Error for Gone {}

/// Whether a call ended because its connection had ended before.
pub(super) fn was_gone(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(err) = cause {
        if err.is::<Gone>() {
            return true;
        }
        // What an I/O error wraps is not among its sources.
        let wrapped = err.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(err) = wrapped
            && err.is::<Gone>()
        {
            return true;
        }
        cause = err.source();
    }
    false
}

/// HTTP/2 over a stream.
async fn channel(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    endpoint: &Endpoint,
    settings: &Settings,
) -> Result<Channel, String> {
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let authority = settings.override_authority.clone();
    let authority = authority.unwrap_or_else(|| endpoint.authority());
    let origin = format!("{scheme}://{authority}")
        .parse()
        .map_err(|_| format!("`override_authority`: {authority:?} is no host"))?;
    let stream = Mutex::new(Some(stream));
    let connector = tower::service_fn(move |_| {
        let stream = stream.lock().take();
        async move { stream.map(TokioIo::new).ok_or(Gone) }
    });
    let endpoint = transport::Endpoint::from_shared(format!("http://{}", endpoint.authority()));
    let channel = endpoint
        .map_err(|err| err.to_string())?
        .origin(origin)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .connect_with_connector(connector)
        .await;
    channel.map_err(|err| format!("HTTP/2: {err}"))
}

/// Logs in. None when etcd wants nobody to.
async fn token(
    channel: Channel,
    user: &str,
    password: &str,
) -> Result<Option<MetadataValue<Ascii>>, ConnectError> {
    let request = AuthenticateRequest {
        name: user.to_owned(),
        password: password.to_owned(),
    };
    match AuthClient::new(channel).authenticate(request).await {
        Ok(answer) => {
            let token = MetadataValue::try_from(answer.into_inner().token);
            let mut token = token.map_err(|_| "the token is no header value".to_owned())?;
            token.set_sensitive(true);
            Ok(Some(token))
        }
        Err(status)
            if status.code() == Code::FailedPrecondition && status.message().contains("not enabled") =>
        {
            Ok(None)
        }
        Err(status) => Err(ConnectError {
            reason: format!("login as {user:?}: {}", status.message()),
            denied: is_refusal(&status),
        }),
    }
}
