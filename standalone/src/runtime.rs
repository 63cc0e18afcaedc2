//! The ONNX runtime behind the router's view of a runtime: function calls where others use gRPC.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use adapter::onnx::OnnxRuntime;
use api::mmesh::{LoadModelRequest, LoadModelResponse, PredictModelSizeRequest, RuntimeStatusResponse};
use futures::future::BoxFuture;
use router::{
    model::{ModelId, ModelSpec},
    runtime::Runtime,
};
use tonic::Status;

use crate::{loads::Loads, models::name};

/// Loads models in this process.
#[derive(Clone, Debug)]
pub struct InProcess {
    runtime: OnnxRuntime,
    loads: Arc<Loads>,
    /// The models folder, by its real path.
    folder: PathBuf,
}

impl InProcess {
    /// The router's view of `runtime`, which loads from `folder`, on the threads of `loads`.
    pub fn new(runtime: OnnxRuntime, loads: Loads, folder: &Path) -> Self {
        Self {
            runtime,
            loads: Arc::new(loads),
            folder: folder.canonicalize().unwrap_or_else(|_| folder.to_owned()),
        }
    }
}

/// Clients asked for a name in a folder: they learn neither the id of its content nor where the folder lies.
fn presented(id: &str, folder: &Path, status: &Status) -> Status {
    let mut message = status.message().replace(&format!("{}/", folder.display()), "");
    if name::of_content_id(id).is_some()
        && let Some((name, _)) = id.split_once(name::STAMP_SEPARATOR)
    {
        message = message.replace(id, name);
    }
    Status::with_details_and_metadata(
        status.code(),
        message,
        status.details().to_vec().into(),
        status.metadata().clone(),
    )
}

/// What a gRPC deadline would do.
async fn within<T>(timeout: Duration, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    match tokio::time::timeout(timeout, call).await {
        Ok(result) => result,
        Err(_) => Err(Status::deadline_exceeded(format!(
            "the runtime did not answer within {}",
            humantime::format_duration(timeout)
        ))),
    }
}

impl Runtime for InProcess {
    fn status(&self) -> BoxFuture<'_, Result<RuntimeStatusResponse, Status>> {
        Box::pin(self.runtime.status())
    }

    fn load<'a>(
        &'a self,
        id: &'a ModelId,
        spec: &'a ModelSpec,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<LoadModelResponse, Status>> {
        let ModelSpec { kind, path, key } = spec;
        let request = LoadModelRequest {
            model_id: id.to_string(),
            model_type: kind.clone(),
            model_path: path.clone(),
            model_key: key.clone(),
        };
        Box::pin(async move {
            let runtime = self.runtime.clone();
            let load = self.loads.run(async move { runtime.load(&request).await });
            let loaded = within(timeout, load).await;
            loaded.map_err(|status| presented(id, &self.folder, &status))
        })
    }

    fn unload<'a>(&'a self, id: &'a ModelId, timeout: Duration) -> BoxFuture<'a, Result<(), Status>> {
        let (runtime, id) = (self.runtime.clone(), id.clone());
        let unload = self.loads.run(async move { runtime.unload(&id).await });
        Box::pin(within(timeout, unload))
    }

    fn predict_size<'a>(
        &'a self,
        id: &'a ModelId,
        spec: &'a ModelSpec,
    ) -> BoxFuture<'a, Result<u64, Status>> {
        let ModelSpec { kind, path, key } = spec;
        let request = PredictModelSizeRequest {
            model_id: id.to_string(),
            model_type: kind.clone(),
            model_path: path.clone(),
            model_key: key.clone(),
        };
        let runtime = self.runtime.clone();
        Box::pin(
            self.loads
                .run(async move { runtime.predict_size(&request).await }),
        )
    }

    fn model_size<'a>(&'a self, id: &'a ModelId) -> BoxFuture<'a, Result<u64, Status>> {
        Box::pin(self.runtime.model_size(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_speak_of_names_and_of_files_in_the_folder() {
        let id = name::content_id("m:2", 7);
        let folder = Path::new("/srv/models");
        let status = Status::invalid_argument(format!("model {id}: /srv/models/m/2/model.onnx is no model"));
        let shown = presented(&id, folder, &status);
        assert_eq!(shown.message(), "model m:2: m/2/model.onnx is no model");
        assert_eq!(shown.code(), tonic::Code::InvalidArgument);
        let by_hand = Status::invalid_argument("model a@b: no");
        assert_eq!(presented("a@b", folder, &by_hand).message(), "model a@b: no");
    }
}
