//! Which control plane `scripts/kubernetes.sh` takes.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use e2e::process::{self, Finished};
use tempfile::TempDir;

/// A folder with programs that only tell their versions.
fn programs(folder: &Path, name: &str, kubernetes: &str, etcd: &str) -> PathBuf {
    let folder = folder.join(name);
    fs::create_dir(&folder).expect("the folder can be made");
    for program in [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubectl",
    ] {
        let version = match program {
            "etcd" => format!("etcd Version: {etcd}\nGo Version: go1.25.1"),
            "kubectl" => format!("Client Version: v{kubernetes}"),
            _ => format!("Kubernetes v{kubernetes}"),
        };
        let file = folder.join(program);
        fs::write(&file, format!("#!/bin/sh\necho '{version}'\n")).expect("the file can be written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    }
    folder
}

/// Runs the script where `path` comes first.
async fn script(assets: &Path, path: &Path, args: &[&str]) -> Finished {
    let rest = env::var("PATH").expect("there is a PATH");
    let mut command = Command::new(process::root().join("scripts/kubernetes.sh"));
    command
        .args(args)
        .env("KUBEBUILDER_ASSETS", assets)
        .env("PATH", format!("{}:{rest}", path.display()));
    process::finish(command).await.expect("the script runs")
}

#[tokio::test]
async fn the_first_that_is_recent_enough_is_taken() {
    let folder = TempDir::new().unwrap();
    let good = programs(folder.path(), "good", "1.30.0", "3.5.21");
    let better = programs(folder.path(), "better", "1.40.2", "3.10.0");
    let old = programs(folder.path(), "old", "1.29.14", "3.5.21");
    let old_etcd = programs(folder.path(), "old-etcd", "1.34.4", "3.4.23");
    let partial = programs(folder.path(), "partial", "1.34.4", "3.6.5");
    fs::remove_file(partial.join("kube-scheduler")).unwrap();
    let nowhere = folder.path().join("nowhere");

    for (assets, path, taken, complaint) in [
        (&good, &better, &good, ""),
        (&better, &good, &better, ""),
        (&old, &good, &good, "kubectl is 1.29.14, wanted is 1.30 or newer"),
        (&old_etcd, &good, &good, "etcd is 3.4.23, wanted is 3.5 or newer"),
        (&partial, &good, &good, "no kube-scheduler"),
        (&nowhere, &good, &good, "no etcd"),
    ] {
        let done = script(assets, path, &[]).await;
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert_eq!(done.stdout, format!("{}\n", taken.display()), "{}", done.stderr);
        assert_eq!(complaint.is_empty(), done.stderr.is_empty(), "{}", done.stderr);
        assert!(done.stderr.contains(complaint), "{}", done.stderr);
    }
}

#[tokio::test]
async fn one_program_may_be_enough() {
    let folder = TempDir::new().unwrap();
    let partial = programs(folder.path(), "partial", "1.34.4", "3.6.5");
    fs::remove_file(partial.join("kube-scheduler")).unwrap();
    let done = script(&partial, &partial, &["kubectl"]).await;
    assert_eq!(done.stdout, format!("{}\n", partial.display()), "{}", done.stderr);
    let done = script(&partial, &partial, &["kubelet"]).await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""));
    assert!(
        done.stderr.contains("no such program: kubelet; known: "),
        "{}",
        done.stderr
    );
}
