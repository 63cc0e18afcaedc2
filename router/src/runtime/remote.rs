//! The runtime SPI over gRPC: TCP or a unix socket.

use std::time::Duration;

use api::mmesh::{
    LoadModelRequest, LoadModelResponse, ModelSizeRequest, PredictModelSizeRequest, RuntimeStatusRequest,
    RuntimeStatusResponse, UnloadModelRequest, model_runtime_client::ModelRuntimeClient,
};
use futures::future::{BoxFuture, FutureExt as _};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::{
    Code, Request, Status,
    transport::{Channel, Uri},
};

mod renamed;

use self::renamed::{Names, Renamed};
use super::Runtime;
use crate::{
    model::{ModelId, ModelSpec},
    upstream::Endpoint,
};

/// Deadline of calls that a runtime answers from memory.
const SHORT: Duration = Duration::from_secs(5);
/// Deadline of `modelSize`, which may measure; upstream's.
const SIZING: Duration = Duration::from_secs(30);
/// A connection to a socket of this pod comes at once or not at all.
const CONNECT: Duration = Duration::from_secs(3);
/// Pings tell a hung runtime from one that loads for long. Not more often than gRPC servers allow (every five minutes,
/// and only while a call is open): they close the connection otherwise, and the load with it.
const PING_INTERVAL: Duration = Duration::from_secs(5 * 60 + 10);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// A runtime beside the router.
#[derive(Clone, Debug)]
pub struct RemoteRuntime {
    client: ModelRuntimeClient<Renamed>,
    names: Names,
}

impl RemoteRuntime {
    /// Connects when it is first used, and again whenever the connection broke.
    pub fn new(endpoint: &Endpoint) -> Self {
        let base = |uri: String| {
            // Both forms are valid: a socket address, or a constant.
            let uri = Uri::try_from(uri).unwrap_or(Uri::from_static("http://localhost"));
            Channel::builder(uri)
                .connect_timeout(CONNECT)
                .http2_keep_alive_interval(PING_INTERVAL)
                .keep_alive_timeout(PING_TIMEOUT)
                .keep_alive_while_idle(false)
                .tcp_nodelay(true)
        };
        let channel = match endpoint {
            Endpoint::Tcp(addr) => base(format!("http://{addr}")).connect_lazy(),
            Endpoint::Unix(path) => {
                let path = path.clone();
                base("http://localhost".into()).connect_with_connector_lazy(tower::service_fn(
                    move |_: Uri| {
                        let path = path.clone();
                        async move { UnixStream::connect(path).await.map(TokioIo::new) }
                    },
                ))
            }
        };
        let names = Names::default();
        Self {
            client: ModelRuntimeClient::new(Renamed::new(channel, names.clone())),
            names,
        }
    }
}

/// A request whose deadline is enforced here and told to the runtime.
fn within<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

impl Runtime for RemoteRuntime {
    fn status(&self) -> BoxFuture<'_, Result<RuntimeStatusResponse, Status>> {
        let mut client = self.client.clone();
        async move {
            let ask = |client: &mut ModelRuntimeClient<Renamed>| {
                let mut client = client.clone();
                async move {
                    client
                        .runtime_status(within(RuntimeStatusRequest {}, SHORT))
                        .await
                }
            };
            let answer = match ask(&mut client).await {
                // An old runtime, or none at all: both names are tried until one answers.
                Err(status) if status.code() == Code::Unimplemented => {
                    self.names.toggle();
                    ask(&mut client).await
                }
                answer => answer,
            };
            Ok(answer?.into_inner())
        }
        .boxed()
    }

    fn load<'a>(
        &'a self,
        id: &'a ModelId,
        spec: &'a ModelSpec,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<LoadModelResponse, Status>> {
        let mut client = self.client.clone();
        let request = LoadModelRequest {
            model_id: id.to_string(),
            model_type: spec.kind.clone(),
            model_path: spec.path.clone(),
            model_key: spec.key.clone(),
        };
        async move { Ok(client.load_model(within(request, timeout)).await?.into_inner()) }.boxed()
    }

    fn unload<'a>(&'a self, id: &'a ModelId, timeout: Duration) -> BoxFuture<'a, Result<(), Status>> {
        let mut client = self.client.clone();
        let request = UnloadModelRequest {
            model_id: id.to_string(),
        };
        async move { client.unload_model(within(request, timeout)).await.map(drop) }.boxed()
    }

    fn predict_size<'a>(
        &'a self,
        id: &'a ModelId,
        spec: &'a ModelSpec,
    ) -> BoxFuture<'a, Result<u64, Status>> {
        let mut client = self.client.clone();
        let request = PredictModelSizeRequest {
            model_id: id.to_string(),
            model_type: spec.kind.clone(),
            model_path: spec.path.clone(),
            model_key: spec.key.clone(),
        };
        async move {
            Ok(client
                .predict_model_size(within(request, SHORT))
                .await?
                .into_inner()
                .size_in_bytes)
        }
        .boxed()
    }

    fn model_size<'a>(&'a self, id: &'a ModelId) -> BoxFuture<'a, Result<u64, Status>> {
        let mut client = self.client.clone();
        let request = ModelSizeRequest {
            model_id: id.to_string(),
        };
        async move {
            Ok(client
                .model_size(within(request, SIZING))
                .await?
                .into_inner()
                .size_in_bytes)
        }
        .boxed()
    }
}
