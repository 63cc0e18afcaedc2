//! `stowage-adapter`: one program for all adapters, by first argument or by its own name.

use std::{ffi::OsString, path::Path, process::ExitCode};

use adapter::{
    args::{Args, Command},
    onnx::OnnxRuntime,
    server::BoundServer,
};
use anyhow::Context as _;
use clap::Parser as _;
use kit::{drain, exit::UsageError, telemetry};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse_from(by_name(std::env::args_os().collect()));
    kit::exit::finish(run(args))
}

/// `onnx-adapter ...` is `stowage-adapter onnx ...`.
fn by_name(mut args: Vec<OsString>) -> Vec<OsString> {
    let name = args
        .first()
        .and_then(|arg| Path::new(arg).file_name())
        .and_then(|name| name.to_str());
    if name == Some("onnx-adapter") {
        args.insert(1, "onnx".into());
    }
    args
}

#[tokio::main]
async fn run(args: Args) -> anyhow::Result<()> {
    let Args {
        command: Command::Onnx(onnx),
        telemetry,
    } = args;
    telemetry::init(&telemetry)?;
    let (options, config) = onnx.config()?;
    let runtime = OnnxRuntime::new(options).map_err(|error| UsageError::msg(error.to_string()))?;
    tracing::info!(engines = %runtime.engines(), "ONNX engines");
    let drain = drain::Drain::new(config.drain_timeout);
    drain::start_on_signal(&drain).context("install signal handlers")?;
    let server = BoundServer::bind(runtime, &config).await?;
    tracing::info!(spi = %server.management()?, inference = %server.inference()?, "serving");
    server.serve(drain).await
}
