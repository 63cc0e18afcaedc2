//! One-thread gRPC backend for benches and tests by hand; see `e2e::backend`.

use std::{env, sync::Arc};

use anyhow::Context;
use e2e::backend::{Options, serve};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let addr = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8085".into());
    let listener = TcpListener::bind(&addr)
        .await
        .with_context(|| format!("listen on {addr}"))?;
    eprintln!("echo backend on {}", listener.local_addr()?);
    serve(listener, Options::default(), Arc::default()).await;
    Ok(())
}
