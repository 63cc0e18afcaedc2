//! Clients that others wrote, from their published packages, against `stowage serve`.

use std::{env, path::PathBuf};

use e2e::process;

use crate::support::stowage::Stowage;

/// Programs that are not in Python, as `scripts/client-tool.sh` has them.
const TOOLS: [&str; 3] = ["grpcurl", "buf", "perf_analyzer"];

/// A Python that has the packages of `e2e/clients/requirements.txt`.
pub(crate) async fn python() -> String {
    python_with("requirements.txt").await
}

/// A Python that has the packages of a file in `e2e/clients`.
pub(crate) async fn python_with(requirements: &str) -> String {
    let file = process::root().join("e2e/clients").join(requirements);
    let venv = installed("venv.sh", file.display().to_string()).await;
    format!("{venv}/bin/python")
}

/// Folders with the programs of [`TOOLS`].
pub(crate) async fn tools() -> Vec<PathBuf> {
    let mut folders = Vec::with_capacity(TOOLS.len());
    for tool in TOOLS {
        folders.push(installed("client-tool.sh", tool.to_owned()).await.into());
    }
    folders
}

/// What an installing script prints: the folder with what it was asked for.
async fn installed(script: &str, what: String) -> String {
    let path = process::root().join("scripts").join(script);
    let done = process::run(path, [&what])
        .await
        .unwrap_or_else(|err| panic!("scripts/{script}: {err:#}"));
    assert_eq!(done.code, Some(0), "scripts/{script} {what}:\n{}", done.stderr);
    done.stdout.trim().to_owned()
}

/// Runs one of `e2e/clients/*.py`, which print a line per check and fail if any failed.
pub(crate) async fn check(program: &str, address: &str) {
    run(&python().await, &[], program, &[address]).await;
}

/// KServe's SDK.
pub(crate) async fn check_kserve(grpc: &str, rest: &str) {
    let python = python_with("requirements-kserve.txt").await;
    run(&python, &[], "kserve_sdk.py", &[grpc, rest]).await;
}

/// grpcurl and buf.
pub(crate) async fn check_reflection(grpc: &str) {
    run(&python().await, &tools().await, "reflection.py", &[grpc]).await;
}

/// Triton's load generator.
pub(crate) async fn check_perf_analyzer(grpc: &str, rest: &str) {
    run(&python().await, &tools().await, "perf_analyzer.py", &[grpc, rest]).await;
}

/// The program finds `tools` before anything else on the path.
async fn run(python: &str, tools: &[PathBuf], program: &str, arguments: &[&str]) {
    let inherited = env::var_os("PATH").unwrap_or_default();
    let all = tools.iter().cloned().chain(env::split_paths(&inherited));
    let path = env::join_paths(all).expect("no folder has a colon in its name");
    let file = process::root().join("e2e/clients").join(program);
    let path = format!("PATH={}", path.display());
    let mut command = vec![path, python.to_owned(), file.display().to_string()];
    command.extend(arguments.iter().map(|&argument| argument.to_owned()));
    let done = process::run("env", command).await.expect("env runs");
    let failed: Vec<_> = done
        .stdout
        .lines()
        .filter(|line| !line.starts_with("ok "))
        .collect();
    assert_eq!(
        done.code,
        Some(0),
        "{program}:\n{}\n{}",
        failed.join("\n"),
        done.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tritonclient_grpc() {
    let server = Stowage::examples().await;
    check("triton_grpc.py", server.grpc()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tritonclient_http() {
    let server = Stowage::examples().await;
    check("triton_http.py", server.rest()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_grpcio() {
    let server = Stowage::examples().await;
    check("raw_grpc.py", server.grpc()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kserve_sdk() {
    let server = Stowage::examples().await;
    check_kserve(server.grpc(), server.rest()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_and_buf() {
    let server = Stowage::examples().await;
    check_reflection(server.grpc()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn perf_analyzer() {
    let server = Stowage::examples().await;
    check_perf_analyzer(server.grpc(), server.rest()).await;
}
