//! The example runtime as a process: `example-runtime PORT[,SERVINGPORT]`, or `example-runtime unix://PATH`.

use anyhow::Context as _;
use e2e::example_runtime::{ExampleRuntime, Options};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let argument = std::env::args().nth(1).unwrap_or_else(|| "8085".to_owned());
    let options = Options::from_env(&argument)?;
    let runtime = ExampleRuntime::start(options).await.context("listen")?;
    eprintln!(
        "serving the SPI on {}, inference on {}",
        runtime.address(),
        runtime.serving()
    );
    runtime.run().await;
    Ok(())
}
