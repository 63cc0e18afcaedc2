//! What the programs print, and their exit codes.

use std::fs;

use e2e::process;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    answers,
    stowage::{Stowage, command},
};

#[tokio::test(flavor = "multi_thread")]
async fn models_shows_what_happened() {
    let server = Stowage::examples().await;
    answers::ask(server.rest(), "iris").await;
    answers::ask(server.rest(), "iris").await;
    let done = command(&["models", "--server", server.grpc()]).await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let heading: Vec<_> = done
        .stdout
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(
        heading,
        ["NAME", "STATE", "SIZE", "LAST", "USED", "LOADS", "EVICTIONS"]
    );
    let line = |name: &str| {
        let found = done
            .stdout
            .lines()
            .find(|line| line.split_whitespace().next() == Some(name));
        found.unwrap_or_else(|| panic!("no {name} in\n{}", done.stdout))
    };
    assert!(line("iris").contains(" LOADED "), "{}", done.stdout);
    assert!(
        line("wine").contains(" NOT_LOADED ") && line("wine").contains(" never "),
        "{}",
        done.stdout
    );
    let iris = server.model("iris").await;
    assert_eq!((iris.loads, iris.evictions), (1, 0));
    assert!(iris.size_bytes > 0 && iris.last_used_ms.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn infer_prints_the_answer() {
    let server = Stowage::examples().await;
    for (model, stem) in [
        ("iris", "iris"),
        ("digits-cnn", "digits-cnn"),
        ("breast-cancer:1", "breast-cancer.v1"),
    ] {
        let name = model.split(':').next().unwrap_or(model);
        let file = answers::folder().join(format!("requests/{name}.json"));
        let file = file.to_str().expect("the path is text");
        let done = command(&["infer", model, file, "--server", server.rest()]).await;
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let answer: Value = serde_json::from_str(&done.stdout).expect("the answer is JSON");
        answers::check(stem, &answer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_and_reasons() {
    let server = Stowage::examples().await;
    let folder = TempDir::new().expect("the temporary folder can be written");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let sample = answers::folder().join("requests/iris.json").display().to_string();
    fs::write(path("no.json"), "{").expect("the temporary folder can be written");
    fs::write(path("empty.json"), "{}").expect("the temporary folder can be written");
    let (grpc, rest) = (server.grpc(), server.rest());
    let nowhere = path("nowhere");
    let cases: [(&[&str], i32, &str); 9] = [
        (
            &["infer", "no-such-model", &sample, "--server", rest],
            1,
            "not found",
        ),
        (
            &["infer", "iris", &path("empty.json"), "--server", rest],
            1,
            "inputs",
        ),
        (&["infer", "iris", &path("no.json"), "--server", rest], 2, "JSON"),
        (&["infer", "iris", &nowhere, "--server", rest], 2, "nowhere"),
        (&["infer", "iris"], 2, "FILE"),
        (&["models", "--server", "127.0.0.1:1"], 1, "127.0.0.1:1"),
        (
            &["serve", "--models", &nowhere, "--grpc", "127.0.0.1:0"],
            2,
            "nowhere",
        ),
        (&["serve", "--capacity", "much"], 2, "--capacity"),
        (
            &[
                "serve",
                "--grpc",
                grpc,
                "--rest",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
            ],
            1,
            grpc,
        ),
    ];
    for (args, code, word) in cases {
        let done = command(args).await;
        assert_eq!(done.code, Some(code), "{args:?}\n{}{}", done.stdout, done.stderr);
        assert!(
            done.stderr.contains(word),
            "{args:?}: no {word:?} in {:?}",
            done.stderr
        );
    }
}

/// `--help` of the programs that run beside each other in a cluster: flags with their variables, examples, exit codes.
#[tokio::test]
async fn help_of_router_and_adapter_teaches() {
    for (program, args, words) in [
        (
            "stowage-router",
            &["--help"][..],
            &[
                "--grpc-port",
                "MM_SVC_GRPC_PORT",
                "INTERNAL_GRPC_SOCKET_PATH",
                "MM_DATAPLANE_CONFIG",
                "--runtime-port 8085 --serving-port 8001",
            ][..],
        ),
        ("stowage-adapter", &["--help"], &["onnx", "onnx-adapter"]),
        (
            "stowage-adapter",
            &["onnx", "--help"],
            &[
                "--container-mem-req-bytes",
                "CONTAINER_MEM_REQ_BYTES",
                "ROOT_MODEL_DIR",
                "--adapter-socket",
            ],
        ),
    ] {
        let binary = process::binary(program).expect("the binary is built");
        let done = process::run(binary, args).await.expect("it runs");
        assert_eq!(done.code, Some(0), "{program} {args:?}: {}", done.stderr);
        for word in words.iter().chain(&["Examples", "Exit codes"]) {
            assert!(
                done.stdout.contains(word),
                "{program} {args:?}: no {word:?} in {}",
                done.stdout
            );
        }
    }
}

#[tokio::test]
async fn wrong_settings_of_the_router_end_with_2_and_name_the_setting() {
    for (args, word) in [
        (&["--grpc-port", "x"][..], "--grpc-port"),
        (&["--metrics", "statsd"], "--metrics"),
        (&["--max-message", "many"], "--max-message"),
        (
            &["--runtime-port", "1", "--runtime-socket", "/s"],
            "--runtime-socket",
        ),
        (
            &[
                "--dataplane-config",
                r#"{"rpcConfigs":{"s/M":{"idExtractionPath":[0]}}}"#,
            ],
            "s/M",
        ),
        (
            &["--dataplane-config-path", "/nowhere/rules.json"],
            "/nowhere/rules.json",
        ),
    ] {
        let binary = process::binary("stowage-router").expect("the binary is built");
        let done = process::run(binary, args).await.expect("it runs");
        assert_eq!(done.code, Some(2), "{args:?}: {}{}", done.stdout, done.stderr);
        assert!(
            done.stderr.contains(word),
            "{args:?}: no {word:?} in {:?}",
            done.stderr
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn help_teaches() {
    for (args, words) in [
        (&["--help"][..], &["serve", "models", "infer", "Examples"][..]),
        (
            &["serve", "--help"],
            &[
                "--models",
                "--capacity",
                "--grpc",
                "--rest",
                "--admin",
                "--config",
                "model.onnx",
            ],
        ),
        (&["models", "--help"], &["--server", "Examples"]),
        (&["infer", "--help"], &["MODEL", "FILE", "Examples"]),
    ] {
        let done = command(args).await;
        assert_eq!(done.code, Some(0));
        for word in words {
            assert!(
                done.stdout.contains(word),
                "{args:?}: no {word:?} in {}",
                done.stdout
            );
        }
    }
}
