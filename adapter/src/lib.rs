//! Loads models into a model server, or into our own ONNX runtime.
//!
//! [`onnx::OnnxRuntime`] is the runtime: it loads, sizes and unloads models (`mmesh.ModelRuntime`) and answers
//! V2 inference on them (`inference.GRPCInferenceService`), in-process or behind [`server`].
//!
//! No router code is known here; the two meet through the protobufs in `api`.

pub mod args;
pub mod onnx;
pub mod server;
