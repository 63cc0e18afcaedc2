//! One-thread gRPC backend for benches and tests by hand; see `e2e::backend`:
//!
//! ```text
//! echo-backend [ADDRESS [--tensors]]
//! ```

use std::{env, sync::Arc};

use anyhow::Context;
use e2e::backend::{Infer, Options, serve};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let addr = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8085".into());
    let infer = match env::args().nth(2).as_deref() {
        None => Infer::Message,
        Some("--tensors") => Infer::Tensors,
        Some(other) => {
            anyhow::bail!("unknown argument {other:?}; --tensors answers with the tensors of the request")
        }
    };
    let options = Options {
        infer,
        ..Options::default()
    };
    let listener = TcpListener::bind(&addr)
        .await
        .with_context(|| format!("listen on {addr}"))?;
    eprintln!("echo backend on {}", listener.local_addr()?);
    serve(listener, options, Arc::default()).await;
    Ok(())
}
