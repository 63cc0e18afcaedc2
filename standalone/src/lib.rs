//! Router, adapter and ONNX runtime in one process.

pub mod address;
pub mod args;
pub mod client;
pub mod config;
pub mod memory;
pub mod models;
pub mod watch;
