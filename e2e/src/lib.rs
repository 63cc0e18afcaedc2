//! Harness of the end-to-end tests and benches.

pub mod backend;
pub mod bench;
pub mod client;
#[cfg(feature = "cluster")]
pub mod cluster;
#[cfg(feature = "cluster")]
pub mod etcd;
pub mod example_runtime;
pub mod mesh;
pub mod onnx;
mod port;
pub mod process;

/// `mmesh.ExamplePredictor`.
#[allow(missing_docs, clippy::pedantic, unreachable_pub)]
pub mod example {
    tonic::include_proto!("mmesh");
}
