//! Which control plane `scripts/kubernetes.sh` takes.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt as _, symlink},
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
        self::program(&folder.join(program), &format!("echo '{version}'"));
    }
    folder
}

/// An executable shell script.
fn program(file: &Path, text: &str) {
    fs::write(file, format!("#!/bin/sh\n{text}\n")).expect("the file can be written");
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).expect("the file is ours");
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

/// A folder with nothing but what the script itself calls, and a `go`.
fn tools(folder: &Path, go: &str) -> PathBuf {
    let tools = folder.join("tools");
    fs::create_dir(&tools).expect("the folder can be made");
    let path = env::var("PATH").expect("there is a PATH");
    for tool in [
        "bash", "chmod", "cut", "dirname", "flock", "mkdir", "mv", "rm", "sed", "sh", "sort",
    ] {
        let found = env::split_paths(&path)
            .map(|folder| folder.join(tool))
            .find(|file| file.is_file())
            .unwrap_or_else(|| panic!("no {tool} in PATH"));
        symlink(found, tools.join(tool)).expect("the link can be made");
    }
    program(&tools.join("go"), go);
    tools
}

/// Runs the script with nothing but these tools and a cache beside them.
async fn build(folder: &Path, tools: &Path) -> Finished {
    let mut command = Command::new(process::root().join("scripts/kubernetes.sh"));
    command
        .env_remove("KUBEBUILDER_ASSETS")
        .env("STOWAGE_CACHE", folder.join("cache"))
        .env("PATH", tools);
    process::finish(command).await.expect("the script runs")
}

/// Names of what is in the cache.
fn cached(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("cache")).expect("there is a cache");
    let mut names: Vec<_> = entries
        .map(|entry| {
            entry
                .expect("it can be listed")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_is_missing_is_built_once() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    // Called as `go build FLAGS -o FILE PACKAGE`.
    let go = format!(
        r#"while [ "$1" != -o ]; do shift; done; echo "$3" >> '{}'; : > "$2"; chmod +x "$2""#,
        log.display()
    );
    let tools = tools(folder.path(), &go);
    let (one, two) = tokio::join!(build(folder.path(), &tools), build(folder.path(), &tools));
    for done in [&one, &two] {
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert_eq!(one.stdout, done.stdout);
    }
    let assets = PathBuf::from(one.stdout.trim_end());
    for program in [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubectl",
    ] {
        assert!(assets.join(program).is_file(), "{program}");
    }
    let built = fs::read_to_string(&log).unwrap();
    assert_eq!(built.lines().count(), 5, "{built}");
    // The cache of compiled packages is gone.
    let name = assets.file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.starts_with("kubernetes-1."), "{name}");
    assert_eq!(cached(folder.path()), [name.clone(), format!("{name}.lock")]);
}

#[tokio::test]
async fn a_build_that_fails_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let tools = tools(folder.path(), "echo 'the proxy is down' >&2; exit 1");
    let done = build(folder.path(), &tools).await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""));
    assert!(done.stderr.contains("the proxy is down"), "{}", done.stderr);
    assert!(done.stderr.contains("etcd could not be built"), "{}", done.stderr);
    assert!(!cached(folder.path()).iter().any(|name| name.contains("build")));
}
