//! `stowage serve` as a child process.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use e2e::process::{self, Finished, Process};
use serde::Deserialize;
use tempfile::TempDir;

use super::{SOON, answers, rest};

/// Where it listens.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Addresses {
    pub(crate) grpc: String,
    pub(crate) rest: String,
    pub(crate) admin: String,
}

/// A running server.
pub(crate) struct Stowage {
    pub(crate) process: Process,
    pub(crate) addresses: Addresses,
    _folder: TempDir,
}

impl Stowage {
    /// Serves the example models.
    pub(crate) async fn examples() -> Self {
        Self::start(&answers::folder().join("models"), "1GiB").await
    }

    /// Serves a folder with this much memory for models.
    pub(crate) async fn start(models: &Path, capacity: &str) -> Self {
        Self::try_start(models, capacity, &[])
            .await
            .expect("stowage serve starts")
    }

    /// Serves the example models and logs what this filter says, as JSON.
    pub(crate) async fn logging(filter: &str) -> Self {
        let models = answers::folder().join("models");
        Self::try_start(&models, "1GiB", &["--log-format", "json", "--log", filter])
            .await
            .expect("stowage serve starts")
    }

    async fn try_start(models: &Path, capacity: &str, more: &[&str]) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let file = folder.path().join("addresses.json");
        let mut command = Command::new(process::binary("stowage")?);
        command.current_dir(process::root()).arg("serve");
        command.arg("--models").arg(models).args(["--capacity", capacity]);
        command.args([
            "--grpc",
            "127.0.0.1:0",
            "--rest",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ]);
        command.arg("--addresses").arg(&file).args(more);
        let mut process = Process::start(command)?;
        let text = process::eventually("addresses of stowage serve", SOON, async || {
            process.check_running()?;
            // Written in one step: what is there is complete.
            Ok(fs::read(&file).ok())
        })
        .await?;
        Ok(Self {
            process,
            addresses: serde_json::from_slice(&text).context("addresses file")?,
            _folder: folder,
        })
    }

    /// Asks it to end, and gives all that it printed.
    pub(crate) async fn end(mut self) -> String {
        self.process.terminate().expect("kill runs");
        let status = self.process.wait(SOON).await.expect("it ends");
        assert!(status.success(), "{status}");
        self.process.output()
    }

    pub(crate) fn rest(&self) -> &str {
        &self.addresses.rest
    }

    pub(crate) fn grpc(&self) -> &str {
        &self.addresses.grpc
    }

    /// Fails unless the process runs and answers.
    pub(crate) async fn check_alive(&mut self) {
        self.process.check_running().expect("the process still runs");
        let live = rest::get(self.rest(), "/v2/health/live")
            .await
            .expect("the server answers");
        assert_eq!(live.status, 200);
    }

    /// What `stowage models` says of one model.
    pub(crate) async fn model(&self, name: &str) -> Row {
        model_of(self.grpc(), name).await
    }

    /// What `stowage models` says of all models.
    pub(crate) async fn models(&self) -> Vec<Row> {
        models_of(self.grpc()).await
    }

    /// Waits until a model's state is one of these.
    pub(crate) async fn wait_for_state(&self, name: &str, states: &[&str]) -> Row {
        wait_for_state(self.grpc(), name, states).await
    }
}

/// What `stowage models` says of the router at a gRPC address.
pub(crate) async fn models_of(grpc: &str) -> Vec<Row> {
    let done = command(&["models", "-o", "json", "--server", grpc]).await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    serde_json::from_str(&done.stdout).unwrap_or_else(|err| panic!("{err}: {}", done.stdout))
}

/// What it says of one model.
pub(crate) async fn model_of(grpc: &str, name: &str) -> Row {
    let rows = models_of(grpc).await;
    let names: Vec<_> = rows.iter().map(|row| row.name.clone()).collect();
    rows.into_iter()
        .find(|row| row.name == name)
        .unwrap_or_else(|| panic!("no {name} among {names:?}"))
}

/// Waits until a model's state is one of these.
pub(crate) async fn wait_for_state(grpc: &str, name: &str, states: &[&str]) -> Row {
    let what = format!("{name} to be {states:?}");
    process::eventually(&what, SOON, async || {
        let row = model_of(grpc, name).await;
        Ok(states.contains(&row.state.as_str()).then_some(row))
    })
    .await
    .expect("the state is reached")
}

/// A line of `stowage models -o json`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) size_bytes: u64,
    pub(crate) last_used_ms: Option<u64>,
    pub(crate) loads: u64,
    pub(crate) evictions: u64,
    pub(crate) error: Option<String>,
}

/// Runs `stowage` with these arguments to its end.
pub(crate) async fn command(args: &[&str]) -> Finished {
    let binary = process::binary("stowage").expect("stowage is built");
    process::run(binary, args).await.expect("stowage runs")
}

/// A models folder of one's own that holds the iris model.
pub(crate) fn models_folder() -> TempDir {
    let folder = TempDir::new().expect("the temporary folder can be written");
    copy_example("iris.onnx", &folder.path().join("iris.onnx"));
    folder
}

/// Copies a file of `examples/models`.
pub(crate) fn copy_example(file: &str, target: &Path) -> PathBuf {
    let source = answers::folder().join("models").join(file);
    fs::copy(&source, target).unwrap_or_else(|err| panic!("{}: {err}", source.display()));
    target.to_owned()
}
