//! Listeners of an example runtime.

use std::{
    convert::Infallible,
    io,
    sync::Arc,
    task::{Context, Poll},
};

use api::mmesh::model_runtime_server::ModelRuntimeServer;
use http::{Request, Uri};
use tokio::{
    net::{TcpListener, UnixListener},
    task::JoinSet,
};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::{
    body::Body,
    codegen::Service,
    server::NamedService,
    service::Routes,
    transport::{Server, server::Router},
};

use super::{Address, State, predictor::Predictor, spi::Spi};
use crate::example::example_predictor_server::ExamplePredictorServer;

/// Serves at the addresses of the options, and says which those are: SPI, inference.
pub(super) async fn start(state: &Arc<State>, servers: &mut JoinSet<()>) -> io::Result<(Address, Address)> {
    let spi = ModelRuntimeServer::new(Spi(state.clone()));
    let predictor = ExamplePredictorServer::new(Predictor(state.clone()));
    let options = &state.options;
    let routes = if options.legacy {
        Routes::new(Legacy(spi))
    } else {
        Routes::new(spi)
    };
    let Some(serving) = &options.serving else {
        let address = listen(&options.address, routes.add_service(predictor), servers).await?;
        return Ok((address.clone(), address));
    };
    let address = listen(&options.address, routes, servers).await?;
    let serving = listen(serving, Routes::new(predictor), servers).await?;
    Ok((address, serving))
}

async fn listen(address: &Address, routes: Routes, servers: &mut JoinSet<()>) -> io::Result<Address> {
    let server: Router = Server::builder().add_routes(routes);
    match address {
        Address::Tcp(addr) => {
            let listener = TcpListener::bind(addr).await?;
            let address = Address::Tcp(listener.local_addr()?);
            servers.spawn(log(server.serve_with_incoming(TcpListenerStream::new(listener))));
            Ok(address)
        }
        Address::Unix(path) => {
            let listener = UnixListener::bind(path)?;
            servers.spawn(log(server.serve_with_incoming(UnixListenerStream::new(listener))));
            Ok(address.clone())
        }
    }
}

async fn log(served: impl Future<Output = Result<(), tonic::transport::Error>>) {
    if let Err(error) = served.await {
        tracing::error!(%error, "the example runtime ended");
    }
}

/// The SPI under the name that it had before.
#[derive(Clone, Debug)]
struct Legacy(ModelRuntimeServer<Spi>);

impl NamedService for Legacy {
    const NAME: &'static str = "com.ibm.watson.tas.internal.proto.ModelServer";
}

impl Service<Request<Body>> for Legacy {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = <ModelRuntimeServer<Spi> as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default();
        let path = format!("/mmesh.ModelRuntime/{method}");
        if let Ok(uri) = Uri::try_from(path) {
            *request.uri_mut() = uri;
        }
        self.0.call(request)
    }
}
