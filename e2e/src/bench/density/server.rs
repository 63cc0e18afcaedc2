//! `stowage serve` as a child process, and what it says of itself.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::process::{Process, eventually};

/// Longest start; twenty thousand models take far less.
const START: Duration = Duration::from_mins(2);
/// Longest answer of an admin page.
const PAGE: Duration = Duration::from_secs(30);
/// Memory counts once it was the same, within [`STEADY`], for so many looks.
const LOOKS: usize = 8;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// Part by which looks may differ.
const STEADY: f64 = 0.002;
/// Longest wait for memory to be the same.
const SETTLE: Duration = Duration::from_secs(20);

/// A running server.
#[derive(Debug)]
pub struct Server {
    process: Process,
    /// Where it takes calls.
    pub grpc: SocketAddr,
    admin: SocketAddr,
    /// From the start of the process until every model was registered and the first port answered.
    pub start: Duration,
    _folder: TempDir,
}

#[derive(Deserialize)]
struct Addresses {
    grpc: SocketAddr,
    admin: SocketAddr,
}

/// A copy of a model began to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serves {
    /// Number of the model.
    pub model: usize,
    /// After the start of the measurement.
    pub at: Duration,
}

impl Server {
    /// Serves `models` on the first `cores` processors, with memory for this much.
    pub async fn start(program: &Path, cores: usize, models: &Path, capacity: u64) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let file = folder.path().join("addresses.json");
        // This process is pinned, which its children would inherit.
        let mut command = Command::new("taskset");
        command
            .args(["-c", &format!("0-{}", cores.saturating_sub(1))])
            .arg(program)
            // Calls are told apart by the lines of the cache.
            .args(["--log", "warn,router::cache=info", "--log-format", "json"])
            .arg("serve")
            .arg("--models")
            .arg(models)
            .args(["--capacity", &capacity.to_string()]);
        for flag in ["--grpc", "--rest", "--admin"] {
            command.args([flag, "127.0.0.1:0"]);
        }
        command.arg("--addresses").arg(&file);
        let begun = Instant::now();
        let mut process = Process::start(command)?;
        let text = eventually("start of stowage serve", START, async || {
            process.check_running()?;
            // Written in one step, once everything is registered.
            Ok(fs::read(&file).ok())
        })
        .await?;
        let Addresses { grpc, admin } = serde_json::from_slice(&text).context("addresses file")?;
        let server = Self {
            process,
            grpc,
            admin,
            start: begun.elapsed(),
            _folder: folder,
        };
        eventually("readiness of stowage serve", START, async || {
            Ok(server.page("/ready").await.ok())
        })
        .await?;
        Ok(Self {
            start: begun.elapsed(),
            ..server
        })
    }

    /// A metric without labels.
    pub async fn metric(&self, name: &str) -> anyhow::Result<u64> {
        let page = self.page("/metrics").await?;
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .with_context(|| format!("no metric {name}"))?;
        value.trim().parse().with_context(|| format!("{name} is {value}"))
    }

    /// Time and size of an admin page.
    pub async fn timed_page(&self, path: &str) -> anyhow::Result<(Duration, usize)> {
        let begun = Instant::now();
        let page = self.page(path).await?;
        Ok((begun.elapsed(), page.len()))
    }

    async fn page(&self, path: &str) -> anyhow::Result<String> {
        let exchange = async {
            let mut socket = TcpStream::connect(self.admin).await?;
            let request = format!(
                "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
                self.admin
            );
            socket.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await?;
            anyhow::Ok(answer)
        };
        let answer = timeout(PAGE, exchange).await.context("no answer in time")??;
        anyhow::ensure!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        Ok(answer)
    }

    /// Memory in bytes once it does not change any more.
    pub async fn memory(&self) -> anyhow::Result<u64> {
        let end = Instant::now() + SETTLE;
        let mut looks: Vec<u64> = Vec::new();
        loop {
            looks.push(self.process.resident_bytes()?);
            let latest = looks.get(looks.len().saturating_sub(LOOKS)..).unwrap_or_default();
            if let (Some(low), Some(high)) = (latest.iter().min(), latest.iter().max())
                && (latest.len() == LOOKS && (high - low) as f64 <= *high as f64 * STEADY
                    || Instant::now() > end)
            {
                return Ok(*high);
            }
            sleep(LOOK).await;
        }
    }

    /// CPU time so far, of all its threads, in seconds.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.process.cpu_seconds()
    }

    /// Bytes of the log so far: a place from which [`Server::serves`] reads.
    pub fn log_length(&self) -> usize {
        self.process.output().len()
    }

    /// Copies that began to serve, of the log from `from` on; times count from `epoch`.
    pub fn serves(&self, from: usize, epoch: SystemTime) -> anyhow::Result<Vec<Serves>> {
        let log = self.process.output();
        let epoch = epoch.duration_since(UNIX_EPOCH)?;
        let lines = log.get(from..).unwrap_or_default().lines();
        lines
            .filter(|line| line.contains("\"model loaded\""))
            .map(|line| serves(line, epoch).with_context(|| line.to_owned()))
            .collect()
    }
}

#[derive(Deserialize)]
struct Line {
    timestamp: String,
    model: String,
}

fn serves(line: &str, epoch: Duration) -> anyhow::Result<Serves> {
    let Line { timestamp, model } = serde_json::from_str(line)?;
    let at = humantime::parse_rfc3339(&timestamp)?.duration_since(UNIX_EPOCH)?;
    Ok(Serves {
        model: super::models::number(&model).context("another model")?,
        // What happened before the measurement is nobody's miss.
        at: at.saturating_sub(epoch),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_line_of_the_log() {
        let line = r#"{"timestamp":"2026-01-02T03:04:05.678901Z","level":"INFO","message":"model loaded","model":"model-00017@0123456789abcdef","bytes":26000,"target":"router::cache::drive"}"#;
        let epoch = humantime::parse_rfc3339("2026-01-02T03:04:05Z").unwrap();
        let epoch = epoch.duration_since(UNIX_EPOCH).unwrap();
        assert_eq!(
            serves(line, epoch).unwrap(),
            Serves {
                model: 17,
                at: Duration::from_micros(678_901)
            }
        );
        assert!(serves("{}", epoch).is_err());
    }
}
