//! One etcd that may be killed, started again, and lose its data.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::{
    port,
    process::{self, Process, eventually, scratch},
};

const READY: Duration = Duration::from_mins(1);

static PROGRAM: OnceCell<PathBuf> = OnceCell::const_new();

/// Where the program lies; it is built where it is nowhere, see `scripts/kubernetes.sh`.
async fn program() -> anyhow::Result<&'static PathBuf> {
    let found = PROGRAM.get_or_try_init(|| async {
        let script = process::root().join("scripts/kubernetes.sh");
        let done = process::run(&script, ["etcd"]).await?;
        anyhow::ensure!(
            done.code == Some(0),
            "no etcd: {} failed: {}",
            script.display(),
            done.stderr
        );
        let folder = done
            .stdout
            .lines()
            .last()
            .context("the script printed no folder")?;
        anyhow::Ok(PathBuf::from(folder).join("etcd"))
    });
    found.await
}

/// A server of one node.
#[derive(Debug)]
pub struct Etcd {
    process: Process,
    clients: u16,
    peers: u16,
    folder: TempDir,
}

impl Etcd {
    /// Starts it, and waits until it answers.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = TempDir::new_in(scratch()?)?;
        let (clients, peers) = (port::free()?, port::free()?);
        let process = launch(&folder, clients, peers).await?;
        let mut etcd = Self {
            process,
            clients,
            peers,
            folder,
        };
        etcd.wait().await?;
        Ok(etcd)
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.clients)
    }

    /// Ends it at once.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()
    }

    /// Starts it again, with the data that it had.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process = launch(&self.folder, self.clients, self.peers).await?;
        self.wait().await
    }

    /// Ends it, and starts it again without any data.
    pub async fn lose_data(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        fs::remove_dir_all(self.folder.path().join("data")).context("remove etcd's data")?;
        self.restart().await
    }

    async fn wait(&mut self) -> anyhow::Result<()> {
        let (port, process) = (self.clients, &mut self.process);
        eventually("etcd to be healthy", READY, async || {
            process.check_running()?;
            let health = super::get(port, "/health").await;
            Ok(health
                .is_ok_and(|(status, text)| status.is_success() && text.contains("true"))
                .then_some(()))
        })
        .await
    }
}

async fn launch(folder: &TempDir, clients: u16, peers: u16) -> anyhow::Result<Process> {
    let (clients, peers) = (
        format!("http://127.0.0.1:{clients}"),
        format!("http://127.0.0.1:{peers}"),
    );
    let mut command = Command::new(program().await?);
    command.args([
        "--name=test".to_owned(),
        format!("--data-dir={}", folder.path().join("data").display()),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=test={peers}"),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ]);
    Process::start(command)
}
