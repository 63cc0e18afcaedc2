//! Where the programs of the control plane lie.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;
use tokio::sync::OnceCell;

use crate::process;

static PROGRAMS: OnceCell<PathBuf> = OnceCell::const_new();

/// The folder with etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kubectl. Where they are nowhere,
/// they are built, which takes minutes: see `scripts/kubernetes.sh`.
pub async fn programs() -> anyhow::Result<&'static Path> {
    let found = PROGRAMS.get_or_try_init(|| async {
        let script = process::root().join("scripts/kubernetes.sh");
        let mut command = Command::new(&script);
        // What it does shows up where the tests run.
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        let done = process::finish(command).await?;
        anyhow::ensure!(
            done.code == Some(0),
            "no Kubernetes control plane: {} failed, and says above why",
            script.display()
        );
        let folder = done
            .stdout
            .lines()
            .last()
            .context("the script printed no folder")?;
        Ok(PathBuf::from(folder))
    });
    found.await.map(PathBuf::as_path)
}
