//! The runtime SPI as the router sees it: in-process for `stowage`, gRPC for everything else.

use std::{fmt, time::Duration};

use api::mmesh::{LoadModelResponse, RuntimeStatusResponse};
use futures::future::BoxFuture;
use tonic::Status;

use crate::model::{ModelId, ModelSpec};

mod remote;

pub use remote::RemoteRuntime;

/// Loads, sizes and unloads models. The contract of each call is `mmesh.ModelRuntime`'s.
///
/// Dropping the future of a call cancels it.
pub trait Runtime: Send + Sync + fmt::Debug + 'static {
    /// State and limits; asked until READY, which promises that no model is loaded.
    fn status(&self) -> BoxFuture<'_, Result<RuntimeStatusResponse, Status>>;

    /// Loads a model. `timeout` is also what the transport enforces.
    fn load<'a>(
        &'a self,
        id: &'a ModelId,
        spec: &'a ModelSpec,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<LoadModelResponse, Status>>;

    /// Unloads a model; an unknown id succeeds.
    fn unload<'a>(&'a self, id: &'a ModelId, timeout: Duration) -> BoxFuture<'a, Result<(), Status>>;

    /// Bytes that a model will probably take; UNIMPLEMENTED where the runtime cannot tell.
    fn predict_size<'a>(&'a self, id: &'a ModelId, spec: &'a ModelSpec)
    -> BoxFuture<'a, Result<u64, Status>>;

    /// Bytes that a loaded model takes.
    fn model_size<'a>(&'a self, id: &'a ModelId) -> BoxFuture<'a, Result<u64, Status>>;
}
