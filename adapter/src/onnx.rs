//! Our own ONNX runtime: an engine behind a trait, and the two gRPC services on it.
//!
//! ```text
//! mmesh.ModelRuntime  ──► spi ───────► OnnxRuntime: load, unload, sizes ──► source ──► Engine::load
//! V2 inference        ──► inference ─► infer: look up, limit, check ──────► LoadedModel::run
//! ```
//!
//! Invariants: a model is in the table only while it can answer; calls that load or unload one id take turns; a load
//! that nobody waits for any more ends without a trace; an unload answers when the last inference on the model is done
//! and its memory is free.

pub mod check;
pub mod engine;
mod infer;
mod inference;
mod key;
mod model;
mod options;
pub mod source;
mod spi;
mod stats;
pub mod tensor;
#[allow(
    clippy::wildcard_imports,
    reason = "the engine's macros expand to names of its prelude"
)]
pub mod tract;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use api::{
    inference::grpc_inference_service_server::GrpcInferenceServiceServer,
    mmesh::{
        LoadModelRequest, LoadModelResponse, PredictModelSizeRequest, RuntimeStatusResponse,
        model_runtime_server::ModelRuntimeServer,
        runtime_status_response::{MethodInfo, Status as RuntimeState},
    },
};
use parking_lot::{Mutex, RwLock};
use tokio::{sync::Semaphore, time};
use tonic::{Status, codec::CompressionEncoding};

pub use self::options::{OnnxOptions, OptionsError};
use self::{
    engine::{Engine, LoadError},
    key::ModelKey,
    model::Served,
    source::{Source, SourceError},
    tract::TractEngine,
};

/// The runtime. Cheap to clone; clones are the same runtime.
#[derive(Clone)]
pub struct OnnxRuntime {
    shared: Arc<Shared>,
}

struct Shared {
    options: OnnxOptions,
    engine: Arc<dyn Engine>,
    /// Models that answer.
    models: RwLock<HashMap<Arc<str>, Arc<Served>>>,
    /// One lock for each id that is being loaded or unloaded. Whoever holds it may change `models` at that id.
    turns: Mutex<HashMap<Arc<str>, Weak<tokio::sync::Mutex<()>>>>,
    /// Loads that run at once. A permit is held until the load has really ended.
    loading: Arc<Semaphore>,
    compute: infer::Compute,
}

impl fmt::Debug for OnnxRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnnxRuntime")
            .field("engine", &self.shared.engine)
            .field("models", &self.shared.models.read().len())
            .finish_non_exhaustive()
    }
}

impl OnnxRuntime {
    /// A runtime with the compiled-in engine.
    pub fn new(options: OnnxOptions) -> Result<Self, OptionsError> {
        Self::with_engine(options, Arc::new(TractEngine::new()))
    }

    /// A runtime with this engine.
    pub fn with_engine(options: OnnxOptions, engine: Arc<dyn Engine>) -> Result<Self, OptionsError> {
        options.check()?;
        let loading = Arc::new(Semaphore::new(options.loading_concurrency as usize));
        Ok(Self {
            shared: Arc::new(Shared {
                options,
                engine,
                models: RwLock::default(),
                turns: Mutex::default(),
                loading,
                compute: infer::Compute::new(),
            }),
        })
    }

    /// The options it was made with.
    pub fn options(&self) -> &OnnxOptions {
        &self.shared.options
    }

    /// Ids of the loaded models, sorted.
    pub fn loaded(&self) -> Vec<String> {
        self.served()
            .iter()
            .map(|served| served.id.as_ref().to_owned())
            .collect()
    }

    /// The loaded models by id.
    fn served(&self) -> Vec<Arc<Served>> {
        let mut served = self.shared.models.read().values().cloned().collect::<Vec<_>>();
        served.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        served
    }

    /// `runtimeStatus`: READY, and every model is gone by then.
    pub async fn status(&self) -> Result<RuntimeStatusResponse, Status> {
        for id in self.loaded() {
            self.unload(&id).await?;
        }
        let options = &self.shared.options;
        let infer = MethodInfo {
            id_injection_path: vec![1],
        };
        let methods = [
            "ModelInfer",
            "ModelStreamInfer",
            "ModelMetadata",
            "ModelConfig",
            "ModelStatistics",
        ];
        Ok(RuntimeStatusResponse {
            status: RuntimeState::Ready.into(),
            capacity_in_bytes: options.capacity_bytes,
            max_loading_concurrency: options.loading_concurrency,
            model_loading_timeout_ms: u32::try_from(options.load_timeout.as_millis()).unwrap_or(u32::MAX),
            default_model_size_in_bytes: options.default_model_bytes,
            runtime_version: options.runtime_version.clone(),
            method_infos: methods
                .into_iter()
                .map(|method| {
                    (
                        format!("{}/{method}", api::names::methods::INFERENCE_SERVICE),
                        infer.clone(),
                    )
                })
                .collect(),
            limit_model_concurrency: options.per_model_concurrency.is_some(),
            ..RuntimeStatusResponse::default()
        })
    }

    /// `loadModel`: answers when the model does. Dropping the future cancels it and leaves nothing behind.
    pub async fn load(&self, request: &LoadModelRequest) -> Result<LoadModelResponse, Status> {
        let LoadModelRequest {
            model_id,
            model_type: _,
            model_path,
            model_key,
        } = request;
        check_id(model_id)?;
        ModelKey::parse(model_key)?;
        // Whoever drops the turn lets the next call for this id go; a load in progress takes it along.
        let turn = self.turn(model_id).lock_owned().await;
        if let Some(served) = self.find(model_id) {
            return if served.path == *model_path {
                Ok(self.loaded_response(&served))
            } else {
                let message =
                    format!("model {model_id} is already loaded from another path; unload it first");
                Err(Status::failed_precondition(message))
            };
        }
        let source = self.resolve(model_path).await?;
        self.check_fits(&source)?;
        let shared = Arc::clone(&self.shared);
        let (id, path) = (Arc::<str>::from(model_id.as_str()), model_path.clone());
        let work = async move {
            let permit = Arc::clone(&shared.loading).acquire_owned().await;
            let permit = permit.map_err(|_| Status::unavailable("the runtime is shutting down"))?;
            let engine = Arc::clone(&shared.engine);
            let limit = shared.options.per_model_concurrency;
            let task = tokio::task::spawn_blocking(move || {
                let result = engine
                    .load(&source)
                    .map(|model| Served::new(&id, path, &source.file, model, limit));
                // In this order: where nobody waits any more, the model goes before the next load may start.
                (result, permit, turn)
            });
            match task.await {
                Ok(loaded) => Ok(loaded),
                Err(_) => Err(Status::internal("the load ended without a result")),
            }
        };
        let (result, permit, turn) = time::timeout(self.shared.options.load_timeout, work)
            .await
            .map_err(|_| {
                let limit = humantime_ms(self.shared.options.load_timeout);
                Status::deadline_exceeded(format!("model {model_id} did not load within {limit}"))
            })??;
        let served = Arc::new(result.map_err(|error| load_status(model_id, &error))?);
        drop(permit);
        if served.size_bytes() > self.shared.options.capacity_bytes {
            return Err(self.too_large(served.size_bytes()));
        }
        tracing::info!(model = %model_id, bytes = served.size_bytes(), "model loaded");
        let response = self.loaded_response(&served);
        self.shared.models.write().insert(Arc::clone(&served.id), served);
        drop(turn);
        Ok(response)
    }

    /// `unloadModel`: answers when the memory is free. An unknown id succeeds.
    pub async fn unload(&self, id: &str) -> Result<(), Status> {
        let _turn = self.turn(id).lock_owned().await;
        let Some(served) = self.shared.models.write().remove(id) else {
            return Ok(());
        };
        served.drained().await;
        // Dropping a large model frees many blocks; that is no work for a runtime thread.
        let size = served.size_bytes();
        let freed = tokio::task::spawn_blocking(move || drop(served)).await;
        freed.map_err(|_| Status::internal("freeing the model failed"))?;
        tracing::info!(model = %id, bytes = size, "model unloaded");
        Ok(())
    }

    /// `predictModelSize`: a guess from sizes on disk.
    pub async fn predict_size(&self, request: &PredictModelSizeRequest) -> Result<u64, Status> {
        let key = ModelKey::parse(&request.model_key)?;
        let disk_bytes = match key.disk_size_bytes {
            Some(bytes) => bytes,
            None => self.resolve(&request.model_path).await?.disk_bytes,
        };
        Ok(self.predicted(disk_bytes))
    }

    /// `modelSize`: bytes that a loaded model takes.
    pub async fn model_size(&self, id: &str) -> Result<u64, Status> {
        std::future::ready(
            self.find(id)
                .map(|served| served.size_bytes())
                .ok_or_else(|| not_loaded(id)),
        )
        .await
    }

    /// The V2 service with the configured message limits.
    pub fn inference_service(&self) -> GrpcInferenceServiceServer<Self> {
        let limit = self.shared.options.max_message_bytes;
        GrpcInferenceServiceServer::new(self.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(limit)
            .max_encoding_message_size(limit)
    }

    /// The runtime SPI service.
    pub fn management_service(&self) -> ModelRuntimeServer<Self> {
        ModelRuntimeServer::new(self.clone())
    }

    fn find(&self, id: &str) -> Option<Arc<Served>> {
        self.shared.models.read().get(id).map(Arc::clone)
    }

    /// The lock under which this id is loaded and unloaded.
    fn turn(&self, id: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.shared.turns.lock();
        if let Some(turn) = turns.get(id).and_then(Weak::upgrade) {
            return turn;
        }
        if turns.len() >= TURNS_BEFORE_SWEEP {
            turns.retain(|_, turn| turn.strong_count() > 0);
        }
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        turns.insert(Arc::from(id), Arc::downgrade(&turn));
        turn
    }

    async fn resolve(&self, path: &str) -> Result<Source, Status> {
        let (root, path) = (self.shared.options.models_root.clone(), path.to_owned());
        let task = tokio::task::spawn_blocking(move || source::resolve(root.as_deref(), &path));
        let resolved = task
            .await
            .map_err(|_| Status::internal("looking up the model path failed"))?;
        resolved.map_err(|error| source_status(&error))
    }

    fn predicted(&self, disk_bytes: u64) -> u64 {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the product is positive, and a float that does not fit saturates"
        )]
        let bytes = (disk_bytes as f64 * self.shared.options.size_multiplier) as u64;
        if bytes == 0 {
            self.shared.options.default_model_bytes
        } else {
            bytes
        }
    }

    /// Refuses a file that cannot fit, before it is read.
    fn check_fits(&self, source: &Source) -> Result<(), Status> {
        if source.file_bytes > self.shared.options.capacity_bytes {
            return Err(self.too_large(source.file_bytes));
        }
        Ok(())
    }

    fn too_large(&self, bytes: u64) -> Status {
        let capacity = self.shared.options.capacity_bytes;
        Status::failed_precondition(format!(
            "the model takes {bytes} bytes, the runtime has {capacity}"
        ))
    }

    fn loaded_response(&self, served: &Served) -> LoadModelResponse {
        LoadModelResponse {
            size_in_bytes: served.size_bytes(),
            max_concurrency: self.shared.options.per_model_concurrency.unwrap_or(0),
        }
    }
}

/// Table size at which locks that nobody holds are dropped.
const TURNS_BEFORE_SWEEP: usize = 1024;

/// Longest model id, as in the router.
const MAX_ID_LEN: usize = 1024;

fn check_id(id: &str) -> Result<(), Status> {
    match id.len() {
        0 => Err(Status::invalid_argument("modelId is empty")),
        len if len > MAX_ID_LEN => Err(Status::invalid_argument(format!(
            "modelId has {len} bytes, the limit is {MAX_ID_LEN}"
        ))),
        _ => Ok(()),
    }
}

fn humantime_ms(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

fn not_loaded(id: &str) -> Status {
    let id = id.chars().take(MAX_ID_LEN).collect::<String>();
    Status::not_found(format!("model {id} is not loaded"))
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// `INVALID_ARGUMENT`: nothing was attempted.
fn source_status(error: &SourceError) -> Status {
    Status::invalid_argument(chain(error))
}

/// `FAILED_PRECONDITION`, which promises that no memory is taken, for whatever is wrong with the model itself.
fn load_status(id: &str, error: &LoadError) -> Status {
    let message = format!("model {id}: {}", chain(error));
    tracing::warn!(model = %id, error = %message, "model not loaded");
    match error {
        LoadError::Read { .. } | LoadError::Panic { .. } => Status::internal(message),
        LoadError::Corrupt { .. }
        | LoadError::Operators { .. }
        | LoadError::Unsupported { .. }
        | LoadError::ExternalData { .. }
        | LoadError::Prepare { .. } => Status::failed_precondition(message),
    }
}
