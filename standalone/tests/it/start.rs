//! From the command to the first answer, and to the end.

use std::{fs, time::Duration};

use e2e::process;
use tempfile::TempDir;

use crate::support::{SOON, Served, example, stowage};

#[tokio::test(flavor = "multi_thread")]
async fn every_line_that_is_printed_for_pasting_works() {
    let models = example("models");
    let server = Served::start(&models).await;
    let banner = server.banner().await;
    assert!(banner.contains("6 models in examples/models"), "{banner}");
    let after = banner
        .split_once("Try, in another terminal:")
        .map(|(_, after)| after)
        .expect("lines to try");
    let lines: Vec<_> = after.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let [metadata, infer, command, list] = lines[..] else {
        panic!("{lines:?}")
    };
    for (line, part) in [
        (metadata, "\"inputs\""),
        (infer, "\"outputs\""),
        (command, "\"outputs\""),
        (list, "NAME"),
    ] {
        let done = process::run("sh", ["-c", line]).await.expect("a shell runs");
        assert_eq!(done.code, Some(0), "{line}\n{}", done.stderr);
        assert!(
            done.stdout.contains(part),
            "{line}: {}{}",
            done.stdout,
            done.stderr
        );
        assert!(!done.stdout.contains("\"error\":\""), "{line}: {}", done.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_loaded_before_it_is_asked_for_however_much_there_is() {
    let folder = TempDir::new().expect("the temporary folder can be written");
    for i in 0..10_000 {
        // No model at all: opening one would be an error.
        fs::write(folder.path().join(format!("m{i:04}.onnx")), b"").expect("the folder can be written");
    }
    let server = Served::start(folder.path()).await;
    let models = server.models().await;
    assert_eq!(models.len(), 10_000);
    for model in &models {
        assert_eq!(
            (&model["state"], &model["loads"]),
            (&"NOT_LOADED".into(), &0.into())
        );
        assert!(model["error"].is_null(), "{model}");
    }
    let banner = server.banner().await;
    assert!(banner.contains("10000 models in"), "{banner}");
    assert!(
        banner.lines().count() < 100,
        "one line for each model is too many"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_well() {
    let models = example("models");
    for signal in ["TERM", "INT"] {
        let mut server = Served::start(&models).await;
        let kill = process::run("kill", [format!("-{signal}"), server.process.id().to_string()]).await;
        assert_eq!(kill.expect("kill runs").code, Some(0));
        let status = server.process.wait(SOON).await.expect("it ends");
        assert_eq!(status.code(), Some(0), "{}", server.process.output());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_the_commands_say_so() {
    let nowhere = Served::start(&example("models")).await.addresses.clone();
    let sample = example("requests/iris.json").display().to_string();
    for args in [
        &["models", "--server", &nowhere.grpc][..],
        &["infer", "iris", &sample, "--server", &nowhere.rest],
    ] {
        let done = tokio::time::timeout(Duration::from_mins(1), stowage(args))
            .await
            .expect("it ends");
        assert_eq!(done.code, Some(1), "{args:?}");
        assert!(
            done.stderr.contains("start one with: stowage serve"),
            "{}",
            done.stderr
        );
        assert_eq!(done.stderr.trim().lines().count(), 1, "{}", done.stderr);
    }
}
