//! Flags, configuration file, and what is said when they make no sense.

use std::fs;

use e2e::process;
use tempfile::TempDir;

use crate::support::{BINARY, Served, example, stowage};

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_file_does_what_flags_do() {
    let folder = TempDir::new().expect("the temporary folder can be written");
    let file = folder.path().join("stowage.toml");
    let models = example("models");
    let text = format!(
        "models = {:?}\ncapacity = \"64MiB\"\nthreads = 1\n",
        models.display().to_string()
    );
    fs::write(&file, text).expect("the temporary folder can be written");
    let server = Served::start_with(&["--config", file.to_str().expect("the path is text")]).await;
    let banner = server.banner().await;
    assert!(banner.contains("64.0 MiB for models"), "{banner}");
    let sample = example("requests/iris.json").display().to_string();
    let done = stowage(&["infer", "iris", &sample, "--server", &server.addresses.rest]).await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

/// The folder of ONNX Runtime's library in the Python package, which the script installs.
async fn ort_library() -> String {
    let root = process::root();
    let venv = process::run(
        root.join("scripts/venv.sh"),
        [root.join("e2e/clients/requirements.txt")],
    )
    .await
    .expect("scripts/venv.sh runs");
    assert_eq!(venv.code, Some(0), "scripts/venv.sh failed:\n{}", venv.stderr);
    let program = "import onnxruntime, pathlib; print(pathlib.Path(onnxruntime.__file__).parent / 'capi')";
    let python = format!("{}/bin/python", venv.stdout.trim());
    let found = process::run(python, ["-c", program]).await.expect("python runs");
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    found.stdout.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn onnx_runtime_answers_where_its_library_is_named() {
    let library = ort_library().await;
    let models = example("models").display().to_string();
    let flags = ["--models", &models, "--onnx-runtime-library", &library];
    let server = Served::start_with(&flags).await;
    let banner = server.banner().await;
    assert!(banner.contains("engine    ONNX Runtime 1."), "{banner}");
    assert_eq!(server.model("iris").await["platform"], "onnxruntime_onnx");
    let (status, answer) = server.infer("iris", &request("iris")).await;
    assert_eq!(status, 200, "{answer}");
    assert!(close(&numbers(&answer), &expected("iris")), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_end_at_once_with_one_line() {
    let folder = TempDir::new().expect("the temporary folder can be written");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let file = path("stowage.toml");
    fs::write(&file, "modles = \"x\"").expect("the temporary folder can be written");
    for (args, words) in [
        (
            &["serve", "--config", &file][..],
            &["stowage.toml", "line 1", "modles"][..],
        ),
        (&["serve", "--models", &path("nowhere")], &["--models", "nowhere"]),
        (&["serve", "--models", &file], &["--models", "is a file"]),
        (
            &["serve", "--onnx-engine", "ort", "--onnx-runtime-library", &file],
            &["stowage.toml", "is not a shared library"],
        ),
        (
            &["serve", "--onnx-runtime-library", &path("nowhere")],
            &["nowhere", "cannot be used"],
        ),
        (&["serve", "--capacity", "1MiB"], &["--capacity", "at least 10MB"]),
        (
            &["serve", "--rest", "9000", "--grpc", "9000"],
            &["--grpc", "--rest", "127.0.0.1:9000"],
        ),
        (&["infer", "", "-"], &["MODEL", "NAME:VERSION"]),
    ] {
        let done = stowage(args).await;
        assert_eq!(done.code, Some(2), "{args:?}\n{}", done.stderr);
        assert_eq!(done.stderr.trim().lines().count(), 1, "{}", done.stderr);
        assert!(
            words.iter().all(|word| done.stderr.contains(word)),
            "{}",
            done.stderr
        );
        assert_eq!(done.stdout, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_named_with_what_to_do() {
    let server = Served::start(&example("models")).await;
    let taken = &server.addresses;
    for (grpc, rest, admin, culprit) in [
        (taken.grpc.as_str(), "0", "0", &taken.grpc),
        ("0", taken.rest.as_str(), "0", &taken.rest),
        ("0", "0", taken.admin.as_str(), &taken.admin),
    ] {
        let done = stowage(&["serve", "--grpc", grpc, "--rest", rest, "--admin", admin]).await;
        assert_eq!(done.code, Some(1), "{}", done.stderr);
        for word in [culprit.as_str(), "in use", "--grpc, --rest and --admin"] {
            assert!(done.stderr.contains(word), "{}", done.stderr);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_counts_without_a_command_too() {
    let done = process::run("env", ["STOWAGE_CAPACITY=much", BINARY]).await;
    let done = done.expect("stowage runs");
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    assert!(
        done.stderr.contains("--capacity") && done.stderr.contains("much"),
        "{}",
        done.stderr
    );
}
