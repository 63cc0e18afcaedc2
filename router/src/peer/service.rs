//! `stowage.peer.v1.Peer`: what routers ask each other about copies.

use std::{fmt, sync::Arc};

use api::peer_v1::{
    CopyStatusRequest, CopyStatusResponse, LoadRequest, LoadResponse, UnloadRequest, UnloadResponse,
    peer_server,
};
use futures::future::BoxFuture;
use tonic::{Request, Response, Status};

/// Answers other routers. The deadline of a call is kept around it; an answer that is not awaited any more is dropped.
pub trait PeerService: Send + Sync + fmt::Debug + 'static {
    /// Starts a load, or waits for it.
    fn load(&self, request: LoadRequest) -> BoxFuture<'_, Result<LoadResponse, Status>>;

    /// What is known of a copy.
    fn copy_status(&self, request: CopyStatusRequest) -> BoxFuture<'_, Result<CopyStatusResponse, Status>>;

    /// Gives a copy up.
    fn unload(&self, request: UnloadRequest) -> BoxFuture<'_, Result<UnloadResponse, Status>>;
}

/// The service over gRPC.
pub fn service(answers: Arc<dyn PeerService>) -> peer_server::PeerServer<impl peer_server::Peer> {
    peer_server::PeerServer::new(Served(answers))
}

#[derive(Debug)]
struct Served(Arc<dyn PeerService>);

#[tonic::async_trait]
impl peer_server::Peer for Served {
    async fn load(&self, request: Request<LoadRequest>) -> Result<Response<LoadResponse>, Status> {
        self.0.load(request.into_inner()).await.map(Response::new)
    }

    async fn copy_status(
        &self,
        request: Request<CopyStatusRequest>,
    ) -> Result<Response<CopyStatusResponse>, Status> {
        self.0.copy_status(request.into_inner()).await.map(Response::new)
    }

    async fn unload(&self, request: Request<UnloadRequest>) -> Result<Response<UnloadResponse>, Status> {
        self.0.unload(request.into_inner()).await.map(Response::new)
    }
}
