//! What other routers ask of this one.

use std::{fmt, sync::Arc};

use api::peer_v1::{
    CopyState as PeerState, CopyStatusRequest, CopyStatusResponse, LoadRequest, LoadResponse, UnloadRequest,
    UnloadResponse,
};
use futures::{FutureExt, future::BoxFuture};
use tonic::Status;

use super::{
    Kind, Mesh,
    ensure::{NoCopy, Wanted, peer_state},
    not_found,
};
use crate::peer::PeerService;

/// Answers for a mesh.
pub struct Answers(Arc<Mesh>);

impl Answers {
    /// Answers for this mesh.
    pub fn new(mesh: Arc<Mesh>) -> Arc<Self> {
        Arc::new(Self(mesh))
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answers")
    }
}

impl PeerService for Answers {
    fn load(&self, request: LoadRequest) -> BoxFuture<'_, Result<LoadResponse, Status>> {
        async move { self.0.load_for_peer(request).await }.boxed()
    }

    fn copy_status(&self, request: CopyStatusRequest) -> BoxFuture<'_, Result<CopyStatusResponse, Status>> {
        let copy = self.0.cache.copy(&request.model_id);
        let answer = copy.map_or_else(CopyStatusResponse::default, |copy| CopyStatusResponse {
            state: peer_state(copy.state).into(),
            since_ms: copy.since_ms,
            size_bytes: copy.size_bytes,
            last_used_ms: copy.last_used_ms,
            error: copy.failure.map(|failure| failure.message).unwrap_or_default(),
        });
        std::future::ready(Ok(answer)).boxed()
    }

    fn unload(&self, request: UnloadRequest) -> BoxFuture<'_, Result<UnloadResponse, Status>> {
        tracing::info!(model = request.model_id, "another instance asked for an unload");
        self.0.cache.unload(&request.model_id);
        std::future::ready(Ok(UnloadResponse {})).boxed()
    }
}

impl Mesh {
    async fn load_for_peer(&self, request: LoadRequest) -> Result<LoadResponse, Status> {
        let LoadRequest {
            model_id,
            last_used_ms,
            sync,
            exclude: _,
            reason,
        } = request;
        let Some(cluster) = &self.cluster else {
            return Err(Status::unimplemented("this router is alone"));
        };
        // Registered a moment ago, perhaps.
        let found = self.find(cluster, &model_id, Kind::Model).await?;
        let entry = self.view.entry(&found.id).ok_or_else(|| not_found(Kind::Model))?;
        if cluster.is_draining() && self.cache.copy(&found.id).is_none() {
            return Ok(LoadResponse {
                status: PeerState::Absent.into(),
                error: "this instance is leaving".into(),
            });
        }
        tracing::debug!(model = %found.id, reason, "another instance asked for a load");
        let wanted = Wanted {
            last_used: (last_used_ms > 0).then_some(last_used_ms),
            sync,
            besides: &[],
            reason: &reason,
        };
        let done = self.claim_and_load(cluster, &found, &entry, wanted).await;
        let state = self
            .cache
            .copy(&found.id)
            .map_or(PeerState::Absent, |copy| peer_state(copy.state));
        Ok(match done {
            Ok(()) => LoadResponse {
                status: state.into(),
                error: String::new(),
            },
            Err(no_copy) => LoadResponse {
                status: match &no_copy {
                    NoCopy::Here(_) if no_copy.is_load_failure() => PeerState::Failed.into(),
                    _ => PeerState::Absent.into(),
                },
                error: no_copy.to_string(),
            },
        })
    }
}
