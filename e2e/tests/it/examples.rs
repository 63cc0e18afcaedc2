//! The example models, and the README's promises about them.

use std::{fs, path::Path};

use e2e::process;

use crate::support::{answers, stowage::Stowage};

/// What all example models together may weigh.
const MAX_BYTES: u64 = 3_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_request_is_answered_as_expected() {
    let server = Stowage::examples().await;
    answers::check_all(server.rest()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_loaded_until_it_is_asked_for() {
    let server = Stowage::examples().await;
    let models = server.models().await;
    for name in answers::MODELS {
        let row = models.iter().find(|row| row.name == name);
        let row = row.unwrap_or_else(|| panic!("{name} is not served"));
        assert_eq!((row.state.as_str(), row.loads), ("NOT_LOADED", 0), "{name}");
    }
    answers::ask(server.rest(), "wine").await;
    let row = server.model("wine").await;
    assert_eq!((row.state.as_str(), row.loads), ("LOADED", 1));
    assert_eq!(server.model("iris").await.loads, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn printed_curl_lines_work() {
    let server = Stowage::examples().await;
    let output = server.process.output();
    let lines: Vec<_> = output
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("curl "))
        .collect();
    assert!(!lines.is_empty(), "no curl line in:\n{output}");
    for line in lines {
        let done = process::run("sh", ["-c", &format!("{line} --fail-with-body --max-time 60")])
            .await
            .expect("sh runs");
        assert_eq!(done.code, Some(0), "{line}\n{}{}", done.stdout, done.stderr);
    }
}

#[test]
fn example_models_are_small_and_described() {
    let folder = answers::folder();
    assert!(size(&folder.join("models")) < MAX_BYTES);
    let readme = fs::read_to_string(folder.join("README.md")).expect("examples/README.md is there");
    for name in answers::MODELS {
        assert!(
            readme.contains(&format!("`{name}`")),
            "{name} is not in examples/README.md"
        );
    }
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    entries
        .map(|entry| {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                size(&path)
            } else {
                path.metadata().expect("the file can be read").len()
            }
        })
        .sum()
}
