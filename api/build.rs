//! Compiles `proto/` without a `protoc` binary.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const PROTOS: [&str; 5] = [
    "inference/inference.proto",
    "mmesh/model_mesh.proto",
    "mmesh/model_runtime.proto",
    "stowage/mesh.proto",
    "stowage/peer.proto",
];
/// Another system's: no service of ours, so it is not among the descriptors that reflection shows.
const ETCD: &str = "etcd/rpc.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        // Tensors stay slices of the buffer they arrived in.
        .bytes(".inference.ModelInferRequest.raw_input_contents")
        .bytes(".inference.ModelInferResponse.raw_output_contents")
        .bytes(".inference.InferTensorContents.bytes_contents")
        .compile_fds(descriptors)?;
    if env::var_os("CARGO_FEATURE_ETCD").is_some() {
        tonic_prost_build::configure()
            .build_server(false)
            // Values may hold secrets, and passwords are one.
            .skip_debug(["."])
            .compile_fds(protox::compile([ETCD], ["proto"])?)?;
    }
    Ok(())
}
