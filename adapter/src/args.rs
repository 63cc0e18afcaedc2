//! Flags and environment of `stowage-adapter onnx`. Names and defaults of the environment are those of
//! `ModelMesh`'s adapters.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use api::names::ports;
use kit::{
    args::{ByteSize, TelemetryArgs, duration, duration_ms},
    exit::UsageError,
};

use crate::{
    onnx::{EngineChoice, OnnxOptions},
    server::{Listen, ServerConfig},
};

const EXAMPLES: &str = "\
Examples:
  stowage-adapter onnx --container-mem-req-bytes 1GiB     ONNX models, for a router on this machine
  stowage-adapter onnx --help                             its settings

A link called onnx-adapter starts the same. Exit codes: 0 stopped as asked, 1 something failed, 2 wrong usage or configuration.";

/// Loads models into a model server, or into the ONNX runtime that is built in.
#[derive(clap::Parser, Debug)]
#[command(name = "stowage-adapter", version, after_help = EXAMPLES)]
pub struct Args {
    /// What to run; `onnx-adapter` as the name of the program is short for `stowage-adapter onnx`
    #[command(subcommand)]
    pub command: Command,

    /// Flags of logging
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

/// The adapters.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Serves ONNX models in this process: runtime SPI and V2 inference
    Onnx(OnnxArgs),
}

const ONNX_EXAMPLES: &str = "\
Examples:
  stowage-adapter onnx --container-mem-req-bytes 2GiB          SPI on localhost:8085, inference on localhost:8001
  stowage-adapter onnx --container-mem-req-bytes 2GiB --adapter-socket /tmp/mmesh/grpc.sock \\
      --runtime-socket /tmp/mmesh/grpc.sock                    both on the socket where a router looks first
  stowage-adapter onnx --container-mem-req-bytes 2GiB --root-model-dir /models
  stowage-adapter onnx --container-mem-req-bytes 2GiB --onnx-engine ort \\
      --onnx-runtime-library /opt/onnxruntime/lib              ONNX Runtime, and nothing else, runs the models

A router beside it: stowage-router --runtime-port 8085 --serving-port 8001

Every flag can be set by the environment variable named beside it.
Exit codes: 0 stopped as asked, 1 something failed, 2 wrong usage.";

/// Flags of `stowage-adapter onnx`.
#[derive(clap::Args, Debug)]
#[command(after_help = ONNX_EXAMPLES)]
pub struct OnnxArgs {
    /// TCP port of the runtime SPI, on localhost
    #[arg(long, env = "ADAPTER_PORT", default_value_t = ports::RUNTIME, value_name = "PORT")]
    pub adapter_port: u16,

    /// Unix socket of the runtime SPI, instead of the port
    #[arg(long, env = "STOWAGE_ADAPTER_SOCKET", value_name = "PATH")]
    pub adapter_socket: Option<PathBuf>,

    /// TCP port of V2 inference, on localhost; the SPI's own port or 0 = the SPI's endpoint serves both
    #[arg(long, env = "RUNTIME_PORT", default_value_t = ports::MODEL_SERVER, value_name = "PORT")]
    pub runtime_port: u16,

    /// Unix socket of V2 inference, instead of the port; the SPI's own = one endpoint serves both
    #[arg(long, env = "STOWAGE_RUNTIME_SOCKET", value_name = "PATH")]
    pub runtime_socket: Option<PathBuf>,

    /// Memory of the process, in bytes or with a unit, like 1GiB; required
    #[arg(long, env = "CONTAINER_MEM_REQ_BYTES", value_name = "SIZE")]
    pub container_mem_req_bytes: Option<ByteSize>,

    /// Part of that memory that models may not take
    #[arg(long, env = "MEM_BUFFER_BYTES", value_name = "SIZE", default_value = "256MiB")]
    pub mem_buffer_bytes: ByteSize,

    /// Loads that run at once
    #[arg(long, env = "LOADING_CONCURRENCY", default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub loading_concurrency: u32,

    /// Time a load may take; a bare number is milliseconds
    #[arg(long, env = "LOADTIME_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = duration_ms)]
    pub loadtime_timeout: Duration,

    /// Size of a model about which nothing is known
    #[arg(long, env = "DEFAULT_MODELSIZE", value_name = "SIZE", default_value = "1MB")]
    pub default_modelsize: ByteSize,

    /// Factor from size on disk to predicted size in memory
    #[arg(long, env = "MODELSIZE_MULTIPLIER", value_name = "FACTOR", default_value_t = OnnxOptions::DEFAULT_SIZE_MULTIPLIER)]
    pub modelsize_multiplier: f64,

    /// Version that is reported [default: this program's]
    #[arg(long, env = "RUNTIME_VERSION", value_name = "VERSION")]
    pub runtime_version: Option<String>,

    /// Inferences that one model may run at once; 0 = no limit
    #[arg(
        long,
        env = "LIMIT_PER_MODEL_CONCURRENCY",
        default_value_t = 0,
        value_name = "N"
    )]
    pub limit_per_model_concurrency: u32,

    /// Model paths must lie inside this folder [default: any path]
    #[arg(long, env = "ROOT_MODEL_DIR", value_name = "DIR")]
    pub root_model_dir: Option<PathBuf>,

    /// Which inference engines run models
    #[arg(long, env = "STOWAGE_ONNX_ENGINE", value_name = "ENGINE", value_enum, default_value_t = EngineChoice::Auto)]
    pub onnx_engine: EngineChoice,

    /// ONNX Runtime's shared library, or its folder [default: beside this program, then where the system's loader looks]
    #[arg(long, env = "ORT_DYLIB_PATH", value_name = "PATH")]
    pub onnx_runtime_library: Option<PathBuf>,

    /// Largest gRPC message, both ways
    #[arg(
        long,
        env = "STOWAGE_MAX_MESSAGE_SIZE",
        value_name = "SIZE",
        default_value = "16MiB"
    )]
    pub max_message_size: ByteSize,

    /// Time that requests in flight have after SIGTERM
    #[arg(long, env = "STOWAGE_DRAIN_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub drain_timeout: Duration,
}

impl OnnxArgs {
    /// Checks the flags against each other.
    pub fn config(self) -> Result<(OnnxOptions, ServerConfig), UsageError> {
        let Self {
            adapter_port,
            adapter_socket,
            runtime_port,
            runtime_socket,
            container_mem_req_bytes,
            mem_buffer_bytes: ByteSize(buffer),
            loading_concurrency,
            loadtime_timeout,
            default_modelsize: ByteSize(default_model_bytes),
            modelsize_multiplier,
            runtime_version,
            limit_per_model_concurrency,
            root_model_dir,
            onnx_engine,
            onnx_runtime_library,
            max_message_size: ByteSize(max_message),
            drain_timeout,
        } = self;
        let Some(ByteSize(memory)) = container_mem_req_bytes else {
            let text = "CONTAINER_MEM_REQ_BYTES (or --container-mem-req-bytes) is needed: the memory of the process, \
                        like 1073741824 or 1GiB";
            return Err(UsageError::msg(text));
        };
        let capacity_bytes = memory.checked_sub(buffer).filter(|bytes| *bytes > 0).ok_or_else(|| {
            UsageError::msg(format!(
                "CONTAINER_MEM_REQ_BYTES ({memory}) must be more than MEM_BUFFER_BYTES ({buffer}): nothing is left for models"
            ))
        })?;
        if !modelsize_multiplier.is_finite() || modelsize_multiplier <= 0.0 {
            let text = format!("MODELSIZE_MULTIPLIER is {modelsize_multiplier}, it must be more than 0");
            return Err(UsageError::msg(text));
        }
        if let Some(root) = &root_model_dir
            && !root.is_dir()
        {
            return Err(UsageError::msg(format!(
                "ROOT_MODEL_DIR {} is not a folder",
                root.display()
            )));
        }
        let max_message_bytes = usize::try_from(max_message)
            .ok()
            .filter(|bytes| *bytes > 0)
            .ok_or_else(|| {
                UsageError::msg(format!(
                    "STOWAGE_MAX_MESSAGE_SIZE is {max_message}, it must be more than 0 and addressable"
                ))
            })?;
        let local = |port| Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], port)));
        let management = adapter_socket.map_or_else(|| local(adapter_port), Listen::Unix);
        let inference = match runtime_socket {
            Some(path) => Some(Listen::Unix(path)),
            None if runtime_port == 0 => None,
            None => Some(local(runtime_port)),
        };
        let inference = inference.filter(|listen| *listen != management);
        let options = OnnxOptions {
            capacity_bytes,
            loading_concurrency,
            load_timeout: loadtime_timeout,
            default_model_bytes,
            size_multiplier: modelsize_multiplier,
            per_model_concurrency: Some(limit_per_model_concurrency).filter(|limit| *limit > 0),
            models_root: root_model_dir,
            runtime_version: runtime_version.unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
            max_message_bytes,
            engine: onnx_engine,
            // An empty variable is how a deployment says nothing.
            ort_library: onnx_runtime_library.filter(|path| !path.as_os_str().is_empty()),
        };
        Ok((
            options,
            ServerConfig {
                management,
                inference,
                drain_timeout,
            },
        ))
    }
}

#[cfg(test)]
mod tests;
