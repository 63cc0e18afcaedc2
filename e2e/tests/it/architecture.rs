//! Edges that must not exist between the crates, and what the one-command build must not contain.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
};

use e2e::process;
use serde_json::Value;

/// Folders of the project, those that are to come included.
const FOLDERS: [&str; 12] = [
    "adapter",
    "api",
    "controller",
    "docs",
    "e2e",
    "examples",
    "kit",
    "manifests",
    "router",
    "scheduler-ext",
    "standalone",
    "webhook",
];

/// How high a crate stands. Dependencies go down, never up or sideways.
fn height(name: &str) -> u8 {
    match name {
        "api" => 0,
        "kit" => 1,
        "webhook" | "scheduler-ext" | "router" | "adapter" | "controller" => 2,
        "standalone" | "e2e" => 3,
        _ => panic!("{name} is new: give it a height, here and in ARCHITECTURE.md"),
    }
}

/// Edges that tests alone may have beside those of [`height`].
const ONLY_TESTS: [(&str, &str); 2] = [("standalone", "e2e"), ("e2e", "e2e")];

/// What `api` must not know: I/O and async runtimes.
const NO_IO: [&str; 6] = ["tokio", "tokio-util", "axum", "hyper", "h2", "tower"];

/// Beginnings of names of packages that the one-command start builds without.
const NOT_STANDALONE: [(&str, &str); 13] = [
    ("kube", "Kubernetes"),
    ("k8s-openapi", "Kubernetes"),
    ("etcd", "etcd"),
    ("aws-config", "object stores"),
    ("aws-sdk", "object stores"),
    ("aws-smithy", "object stores"),
    ("rusoto", "object stores"),
    ("azure_", "object stores"),
    ("google-cloud", "object stores"),
    ("object_store", "object stores"),
    ("protobuf-src", "protoc"),
    ("protoc-", "protoc"),
    ("openssl-sys", "a system library"),
];

async fn cargo(args: &[&str]) -> String {
    let program = env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let manifest = process::root().join("Cargo.toml").display().to_string();
    // The tests were just built from this lockfile: everything is there.
    let common = ["--manifest-path", manifest.as_str(), "--locked", "--offline"];
    let done = process::run(program, args.iter().chain(&common))
        .await
        .expect("cargo runs");
    assert_eq!(done.code, Some(0), "cargo {args:?}: {}", done.stderr);
    done.stdout
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} is a text in {value}"))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key]
        .as_array()
        .unwrap_or_else(|| panic!("{key} is a list in {value}"))
}

#[tokio::test]
async fn dependencies_point_one_way() {
    let out = cargo(&["metadata", "--format-version=1", "--no-deps"]).await;
    let metadata: Value = serde_json::from_str(&out).expect("cargo prints JSON");
    let packages = list(&metadata, "packages");
    let members: BTreeSet<_> = packages.iter().map(|package| text(package, "name")).collect();
    assert!(
        members.is_superset(&BTreeSet::from(["api", "kit", "router", "adapter", "standalone"])),
        "{members:?}"
    );
    for package in packages {
        let from = text(package, "name");
        let folder = Path::new(text(package, "manifest_path"))
            .parent()
            .and_then(Path::file_name);
        assert_eq!(
            folder,
            Some(from.as_ref()),
            "a crate lies in the folder of its name"
        );
        for dependency in list(package, "dependencies") {
            let (to, kind) = (text(dependency, "name"), dependency["kind"].as_str());
            let for_tests = kind == Some("dev") && ONLY_TESTS.contains(&(from, to));
            if members.contains(to) && !for_tests {
                assert!(height(to) < height(from), "{from} must not depend on {to}");
            }
            assert!(
                from != "api" || kind.is_some() || !NO_IO.contains(&to),
                "api must not depend on {to}"
            );
        }
    }
}

#[tokio::test]
async fn the_one_command_build_stays_small() {
    let args = [
        "tree",
        "--package=standalone",
        "--edges=normal,build",
        "--prefix=none",
    ];
    let tree = cargo(&args).await;
    let names: BTreeSet<_> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(
        names.contains("router") && names.contains("tract-onnx"),
        "{names:?}"
    );
    for name in names {
        for (beginning, what) in NOT_STANDALONE {
            assert!(
                !name.starts_with(beginning),
                "{name}: `stowage` is built without {what}"
            );
        }
    }
}

#[test]
fn what_decides_knows_no_runtime_and_no_clock() {
    let mut sources = BTreeMap::new();
    read(&process::root().join("router/src/core"), &mut sources);
    assert!(sources.len() > 5, "{:?}", sources.keys());
    for (path, source) in sources {
        for word in [
            "tokio",
            "Instant::now",
            "SystemTime",
            "std::net",
            "std::fs",
            "std::thread",
        ] {
            let line = source
                .lines()
                .find(|line| !line.trim_start().starts_with("//") && line.contains(word));
            assert_eq!(line, None, "{path} must not use {word}");
        }
    }
}

fn read(folder: &Path, sources: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            read(&path, sources);
        } else {
            let source = fs::read_to_string(&path).expect("sources are text");
            sources.insert(path.display().to_string(), source);
        }
    }
}

#[test]
fn every_folder_says_what_it_is() {
    for folder in FOLDERS {
        let path = process::root().join(folder).join("README.md");
        let text = fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        assert!(text.trim().len() > 40, "{} says nothing", path.display());
    }
}
