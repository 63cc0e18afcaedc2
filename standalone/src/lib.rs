//! Router, adapter and ONNX runtime in one process.

pub mod models;
