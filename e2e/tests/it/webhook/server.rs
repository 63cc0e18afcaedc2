//! `stowage-webhook serve` as a child process.

use std::{path::Path, process::Command};

use anyhow::Context as _;
use e2e::process::{self, Process};
use http::StatusCode;
use serde_json::Value;

use crate::support::{SOON, rest};

/// A running server.
pub(crate) struct Server {
    pub(crate) process: Process,
    /// `127.0.0.1:port` of the webhooks.
    pub(crate) addr: String,
    probes: String,
    metrics: String,
}

impl Server {
    /// Starts it and returns when it listens; it need not be ready. `addr` is where it shall listen, if that matters.
    pub(crate) async fn start(kubeconfig: &Path, addr: Option<&str>, args: &[&str]) -> anyhow::Result<Self> {
        let port = addr.and_then(|addr| addr.rsplit(':').next()).unwrap_or("0");
        let mut command = Command::new(process::binary("stowage-webhook")?);
        command
            .current_dir(process::root())
            .args(["serve", "--bind", "127.0.0.1", "--port", port])
            .args([
                "--probe-port",
                "0",
                "--metrics-port",
                "0",
                "--log-format",
                "json",
                "--log",
                "debug",
            ])
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .args(args);
        let mut process = Process::start(command)?;
        let line = process::eventually("addresses of stowage-webhook", SOON, async || {
            process.check_running()?;
            Ok(process.output().lines().find_map(listening))
        })
        .await?;
        let field = |name: &str| {
            let text = line[name].as_str().context("an address in the log")?;
            anyhow::Ok(text.to_owned())
        };
        Ok(Self {
            addr: field("addr")?,
            probes: field("probes")?,
            metrics: field("metrics")?,
            process,
        })
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&self) -> anyhow::Result<()> {
        process::eventually("readiness of stowage-webhook", SOON, async || {
            let (status, _) = self.probe("/ready").await?;
            Ok((status == StatusCode::OK).then_some(()))
        })
        .await
    }

    /// Asks a probe.
    pub(crate) async fn probe(&self, path: &str) -> anyhow::Result<(StatusCode, String)> {
        get(&self.probes, path).await
    }

    /// The metrics as text.
    pub(crate) async fn metrics(&self) -> anyhow::Result<String> {
        Ok(get(&self.metrics, "/metrics").await?.1)
    }

    /// Waits until the log has a line with this message.
    pub(crate) async fn logged(&self, message: &str) -> anyhow::Result<()> {
        let what = format!("log line {message:?}");
        process::eventually(&what, SOON, async || {
            Ok(self.process.output().contains(message).then_some(()))
        })
        .await
    }
}

fn listening(line: &str) -> Option<Value> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["message"] == "listening").then_some(line)
}

async fn get(addr: &str, path: &str) -> anyhow::Result<(StatusCode, String)> {
    let answer = rest::get(addr, path).await?;
    Ok((answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
}
