//! Names of containers, and of environment variables in them that rules look at. Source: KServe `pkg/constants`.

/// The container that serves.
pub const KSERVE: &str = "kserve-container";
/// The transformer beside the predictor in one pod.
pub const TRANSFORMER: &str = "transformer-container";
/// The container of a worker pod.
pub const WORKER: &str = "worker-container";
/// The init container that fetches models.
pub const STORAGE_INITIALIZER: &str = "storage-initializer";
/// The router's container in the pods of a many-model runtime, as ModelMesh Serving calls it.
pub const MESH: &str = "mm";

/// Forbidden everywhere: it could load code before the model server's own.
pub const ENV_PYTHONPATH: &str = "PYTHONPATH";
/// URI of the model of a container of the user's own.
pub const ENV_STORAGE_URI: &str = "STORAGE_URI";
/// Protocol of a container of the user's own.
pub const ENV_PROTOCOL: &str = "PROTOCOL";
/// Set from `workerSpec.pipelineParallelSize`.
pub const ENV_PIPELINE_PARALLEL_SIZE: &str = "PIPELINE_PARALLEL_SIZE";
/// Set from `workerSpec.tensorParallelSize`.
pub const ENV_TENSOR_PARALLEL_SIZE: &str = "TENSOR_PARALLEL_SIZE";
