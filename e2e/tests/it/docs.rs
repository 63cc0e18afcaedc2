//! The guides as a reader follows them: every command in them is run, and prints what they say. `docs/README.md` has the
//! rules for writers.

mod answer;
mod block;
mod session;

use std::{fs, path::PathBuf};

use e2e::process;

use self::{
    block::{Block, Kind},
    session::Session,
};
use crate::clients;

/// Files with commands, relative to the repository: these, and all of `docs/`.
const FILES: [&str; 2] = ["README.md", "examples/README.md"];

/// Other files whose links must lead somewhere.
const LINKED: [&str; 5] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "adapter/README.md",
    "standalone/README.md",
];

fn guides() -> Vec<String> {
    let folder = process::root().join("docs");
    let entries = fs::read_dir(&folder).unwrap_or_else(|err| panic!("{}: {err}", folder.display()));
    let mut guides: Vec<_> = entries
        .map(|entry| PathBuf::from(entry.expect("docs can be listed").file_name()))
        .filter(|name| name.extension().is_some_and(|extension| extension == "md"))
        .map(|name| format!("docs/{}", name.display()))
        .collect();
    guides.sort();
    guides
}

fn read(file: &str) -> String {
    let path = process::root().join(file);
    fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

fn blocks(file: &str) -> Vec<Block> {
    block::blocks(&read(file)).unwrap_or_else(|err| panic!("{file}:{err}"))
}

/// Follows one guide to its end, and fails with everything in it that did not work.
async fn follow(file: &str) {
    follow_with(file, Vec::new()).await;
}

/// The same for a reader who has these folders on the path.
async fn follow_with(file: &str, tools: Vec<PathBuf>) {
    let mut session = Session::new(tools);
    let mut failures = Vec::new();
    let mut ran = 0;
    for block in blocks(file) {
        if matches!(block.kind, Kind::Manual | Kind::Shown) {
            continue;
        }
        ran += 1;
        if let Err(err) = session.run(&block).await {
            failures.push(format!("{file}:{}: {err:#}", block.line));
        }
    }
    assert!(ran > 0, "{file} has no command that is run");
    assert!(
        failures.is_empty(),
        "{}\n{}",
        failures.join("\n"),
        session.server_output()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn readme() {
    for file in FILES {
        follow(file).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guide_to_serve() {
    follow("docs/serve.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guide_to_the_router() {
    follow("docs/router.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guide_to_tls() {
    follow("docs/tls.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guide_to_the_clients() {
    follow_with("docs/clients.md", clients::tools().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guide_to_ci() {
    follow("docs/ci.md").await;
}

/// What the snippets for pipelines and the hook run is run by the guide as well.
#[test]
fn commands_of_pipelines_are_run_too() {
    let blocks = blocks("docs/ci.md");
    let (shown, run): (Vec<_>, Vec<_>) = blocks.iter().partition(|block| block.kind == Kind::Shown);
    let run: Vec<&str> = run
        .iter()
        .filter(|block| block.kind != Kind::Manual)
        .flat_map(|block| block.text.lines())
        .collect();
    let commands: Vec<&str> = shown
        .iter()
        .flat_map(|block| block.text.lines())
        .map(|line| line.trim_start_matches([' ', '-']).trim_start_matches("run: "))
        .filter(|line| line.starts_with("stowage-webhook "))
        .collect();
    assert!(commands.len() >= 3, "{commands:?}");
    for command in commands {
        assert!(run.contains(&command), "nothing runs {command}");
    }
    let hook = read(".pre-commit-hooks.yaml");
    let entry = hook.lines().find_map(|line| line.trim().strip_prefix("entry: "));
    assert!(
        run.iter()
            .any(|line| entry.is_some_and(|entry| line.starts_with(entry))),
        "nothing runs {entry:?}"
    );
}

/// A new guide needs a test of its own here, unless nothing in it is to be run.
#[test]
fn no_guide_is_left_out() {
    for file in guides() {
        let runs = blocks(&file)
            .iter()
            .any(|block| !matches!(block.kind, Kind::Manual | Kind::Shown));
        let tested = matches!(
            file.as_str(),
            "docs/serve.md" | "docs/router.md" | "docs/tls.md" | "docs/clients.md" | "docs/ci.md"
        );
        assert_eq!(runs, tested, "{file}");
    }
}

#[test]
fn links_lead_somewhere() {
    let files = guides();
    let all = files.iter().map(String::as_str).chain(FILES).chain(LINKED);
    let mut links = 0;
    for file in all {
        let folder = process::root()
            .join(file)
            .parent()
            .map(PathBuf::from)
            .unwrap_or_default();
        // What is between backticks is no link: rules quote patterns.
        let prose: Vec<String> = read(file).split('`').step_by(2).map(str::to_owned).collect();
        for part in prose.join("`").split("](").skip(1) {
            let target = part.split([')', '#']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") {
                links += 1;
                assert!(folder.join(target).exists(), "{file}: no {target}");
            }
        }
    }
    assert!(links > 0);
}
