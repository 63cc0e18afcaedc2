//! Harness of the end-to-end tests and benches.

pub mod backend;
pub mod bench;
pub mod client;
#[cfg(feature = "cluster")]
pub mod cluster;
#[cfg(feature = "cluster")]
pub mod etcd;
pub mod onnx;
pub mod process;
