//! What more than one part of Stowage must agree on: protobufs, names on the wire, tensor datatypes.
//!
//! No I/O lives here, and nothing that knows an async runtime.

pub mod datatype;
pub mod names;
#[cfg(feature = "records")]
pub mod records;
#[cfg(feature = "resources")]
pub mod resources;

/// Open Inference Protocol v2 (`inference.GRPCInferenceService`).
#[allow(missing_docs, clippy::pedantic, unreachable_pub)]
pub mod inference {
    tonic::include_proto!("inference");
}

/// Management (`mmesh.ModelMesh`) and runtime SPI (`mmesh.ModelRuntime`), wire compatible with ModelMesh.
#[allow(missing_docs, clippy::pedantic, unreachable_pub)]
pub mod mmesh {
    tonic::include_proto!("mmesh");
}

/// Our own management service (`stowage.v1.Mesh`).
#[allow(missing_docs, clippy::pedantic, unreachable_pub)]
pub mod mesh_v1 {
    tonic::include_proto!("stowage.v1");
}

/// Client of etcd's API (v3), as far as the store needs it.
#[cfg(feature = "etcd")]
#[allow(
    missing_docs,
    missing_debug_implementations,
    clippy::pedantic,
    unreachable_pub
)]
pub mod etcd {
    tonic::include_proto!("etcdserverpb");
}

/// Encoded `FileDescriptorSet` of every protobuf here, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
