//! Ports, headers, methods and environment names. Source: `ModelMesh` and its runtime adapters, unless said otherwise.

pub mod annotations;
pub mod config;
pub mod containers;
pub mod labels;

/// Default ports.
pub mod ports {
    /// gRPC: inference, management, health, reflection.
    pub const GRPC: u16 = 8033;
    /// REST V2.
    pub const REST: u16 = 8008;
    /// Runtime SPI (adapter).
    pub const RUNTIME: u16 = 8085;
    /// Probes `/ready` and `/live`.
    pub const PROBE: u16 = 8089;
    /// `/prestop`.
    pub const PRESTOP: u16 = 8090;
    /// Prometheus `/metrics` and the status page.
    pub const METRICS: u16 = 2112;
    /// Calls between routers.
    pub const PEER: u16 = 8080;
    /// Model server's V2 gRPC port, as adapters expect it.
    pub const MODEL_SERVER: u16 = 8001;
}

/// Request metadata that routes a call; lower case as on the wire.
pub mod headers {
    /// Concrete model id; may be repeated.
    pub const MODEL_ID: &str = "mm-model-id";
    /// Concrete model id, UTF-8 bytes in base64.
    pub const MODEL_ID_BIN: &str = "mm-model-id-bin";
    /// Stable name that points to a model; may be repeated.
    pub const VMODEL_ID: &str = "mm-vmodel-id";
    /// Stable name, UTF-8 bytes in base64.
    pub const VMODEL_ID_BIN: &str = "mm-vmodel-id-bin";
    /// Used only when none of the other id headers is there.
    pub const LEGACY_MODEL_ID: &str = "tas-model-id";
    /// `true`: the caller balances over pods already.
    pub const BALANCED: &str = "mm-balanced";
    /// `all` or `any` (default) of several ids must exist.
    pub const REQUIRED: &str = "mm-required";
    /// Length of the JSON part of a REST body with binary tensors after it (V2 binary tensor extension).
    pub const INFERENCE_HEADER_CONTENT_LENGTH: &str = "inference-header-content-length";
    /// Request id: echoed by REST, passed on to the model server, and in the logs of requests.
    pub const REQUEST_ID: &str = "x-request-id";
    /// `safe`: the call may be executed more than once, so a router may repeat it although a copy may have begun it. Ours.
    pub const RETRY: &str = "stowage-retry";
    /// Between routers: what the other router may do with a call, `hit` or `load`. Ours, as all that follow.
    pub const HOP: &str = "stowage-hop";
    /// Between routers: the instance that sends the call.
    pub const FROM: &str = "stowage-from";
    /// Between routers: instances that were tried already, separated by commas.
    pub const EXCLUDE: &str = "stowage-exclude";
    /// Between routers: the vmodel that the client asked for, UTF-8 bytes in base64.
    pub const NAME: &str = "stowage-name";
    /// Between routers, of a response: why a call was certainly not executed.
    pub const REFUSED: &str = "stowage-refused";
    /// Between routers, of a response: calls in flight and calls that wait, separated by a comma.
    pub const LOAD: &str = "stowage-load";
}

/// gRPC service names and full method paths.
pub mod methods {
    /// V2 service.
    pub const INFERENCE_SERVICE: &str = "inference.GRPCInferenceService";
    /// Between routers, on their own port.
    pub const PEER_SERVICE: &str = "stowage.peer.v1.Peer";
    /// V2 inference.
    pub const MODEL_INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
    /// V2 streaming inference.
    pub const MODEL_STREAM_INFER: &str = "/inference.GRPCInferenceService/ModelStreamInfer";
    /// V2 model metadata.
    pub const MODEL_METADATA: &str = "/inference.GRPCInferenceService/ModelMetadata";
    /// Triton's model configuration.
    pub const MODEL_CONFIG: &str = "/inference.GRPCInferenceService/ModelConfig";
    /// Triton's model statistics.
    pub const MODEL_STATISTICS: &str = "/inference.GRPCInferenceService/ModelStatistics";
}

/// Environment variables.
pub mod env {
    /// gRPC port of the router.
    pub const MM_SVC_GRPC_PORT: &str = "MM_SVC_GRPC_PORT";
    /// Largest message in bytes, both ways.
    pub const MM_SVC_GRPC_MAX_MSG_SIZE: &str = "MM_SVC_GRPC_MAX_MSG_SIZE";
    /// Largest header list in bytes.
    pub const MM_SVC_GRPC_MAX_HEADERS_SIZE: &str = "MM_SVC_GRPC_MAX_HEADERS_SIZE";
    /// TCP port of the runtime SPI; excludes the socket path.
    pub const INTERNAL_GRPC_PORT: &str = "INTERNAL_GRPC_PORT";
    /// Unix socket of the runtime SPI; excludes the port.
    pub const INTERNAL_GRPC_SOCKET_PATH: &str = "INTERNAL_GRPC_SOCKET_PATH";
    /// TCP port of the model server where it is not the SPI's.
    pub const INTERNAL_SERVING_GRPC_PORT: &str = "INTERNAL_SERVING_GRPC_PORT";
    /// Unix socket of the model server where it is not the SPI's.
    pub const INTERNAL_SERVING_GRPC_SOCKET_PATH: &str = "INTERNAL_SERVING_GRPC_SOCKET_PATH";
    /// Id extraction rules as JSON.
    pub const MM_DATAPLANE_CONFIG: &str = "MM_DATAPLANE_CONFIG";
    /// Id extraction rules in a file.
    pub const MM_DATAPLANE_CONFIG_PATH: &str = "MM_DATAPLANE_CONFIG_PATH";
    /// How many models of one call run at once.
    pub const MM_MULTI_PARALLELISM: &str = "MM_MULTI_PARALLELISM";
    /// How long a failed load is remembered, in milliseconds.
    pub const MM_LOAD_FAILURE_EXPIRY_TIME_MS: &str = "MM_LOAD_FAILURE_EXPIRY_TIME_MS";
    /// Requests that may wait for one copy: 0 = max(16, 8 x its concurrency), negative = no limit.
    pub const MM_MAX_INFLIGHT_PER_MODEL_COPY: &str = "MM_MAX_INFLIGHT_PER_MODEL_COPY";
    /// Port of the probes, or `NONE`.
    pub const MM_PROBE_PORT: &str = "MM_PROBE_PORT";
    /// Port of `/prestop`.
    pub const MM_PRESTOP_WAIT_PORT: &str = "MM_PRESTOP_WAIT_PORT";
    /// `disabled` or `prometheus[:port=..;scheme=..;per_model_metrics=..]`.
    pub const MM_METRICS: &str = "MM_METRICS";
    /// How long a shutdown may take, in milliseconds.
    pub const SHUTDOWN_TIMEOUT_MS: &str = "SHUTDOWN_TIMEOUT_MS";
    /// REST port.
    pub const REST_PROXY_LISTEN_PORT: &str = "REST_PROXY_LISTEN_PORT";
    /// SPI port of an adapter.
    pub const ADAPTER_PORT: &str = "ADAPTER_PORT";
    /// Memory of the model server in bytes.
    pub const CONTAINER_MEM_REQ_BYTES: &str = "CONTAINER_MEM_REQ_BYTES";
    /// Part of that memory that is kept free, in bytes.
    pub const MEM_BUFFER_BYTES: &str = "MEM_BUFFER_BYTES";
}
