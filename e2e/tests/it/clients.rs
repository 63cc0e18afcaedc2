//! Clients that others wrote, from their published packages, against `stowage serve`.

use e2e::process;

use crate::support::stowage::Stowage;

/// A Python that has the packages of `e2e/clients/requirements.txt`.
pub(crate) async fn python() -> String {
    let root = process::root();
    let requirements = root.join("e2e/clients/requirements.txt");
    let venv = process::run(root.join("scripts/venv.sh"), [&requirements])
        .await
        .expect("scripts/venv.sh runs");
    assert_eq!(venv.code, Some(0), "scripts/venv.sh failed:\n{}", venv.stderr);
    format!("{}/bin/python", venv.stdout.trim())
}

/// Runs one of `e2e/clients/*.py`, which print a line per check and fail if any failed.
pub(crate) async fn check(program: &str, address: &str) {
    let python = python().await;
    let path = process::root().join("e2e/clients").join(program);
    let done = process::run(python, [path.as_os_str(), address.as_ref()])
        .await
        .expect("python runs");
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
