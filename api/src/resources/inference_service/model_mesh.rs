//! Which fields of an `InferenceService` in ModelMesh mode the controller reads. Everything else in `spec` is ignored,
//! and the webhook says so.

/// Fields of `predictor` that are read, besides `model` and the [`FRAMEWORKS`] that are mapped.
pub const PREDICTOR_FIELDS: [&str; 4] = ["minReplicas", "maxReplicas", "canaryTrafficPercent", "labels"];

/// Framework blocks that are mapped to a format of the same name.
pub const FRAMEWORKS: [&str; 8] = [
    "xgboost",
    "lightgbm",
    "sklearn",
    "tensorflow",
    "onnx",
    "pytorch",
    "triton",
    "pmml",
];

/// Fields of `predictor.model` that are read.
pub const MODEL_FIELDS: [&str; 5] = [
    "modelFormat",
    "runtime",
    "protocolVersion",
    "storageUri",
    "storage",
];

/// Fields of a framework block that are read.
pub const FRAMEWORK_FIELDS: [&str; 3] = ["protocolVersion", "storageUri", "storage"];

/// Fields of `storage` that are read.
pub const STORAGE_FIELDS: [&str; 4] = ["key", "path", "schemaPath", "parameters"];
