//! Every output format as a whole, in small files that a person can read. `STOWAGE_UPDATE=1` rewrites them.

use std::{fs, path::PathBuf};

use serde_json::Value;

use super::{Done, run_in};

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/check")
}

fn check(format: &str) -> Done {
    run_in(&golden(), &["check", "-o", format, "input"], b"")
}

fn compare(file: &str, found: &str) {
    let path = golden().join(file);
    if std::env::var_os("STOWAGE_UPDATE").is_some() {
        fs::write(&path, found).expect("the checkout can be written");
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, wanted, "{}", path.display());
}

#[test]
fn formats_are_as_written_down() {
    for (format, file) in [
        ("text", "text.txt"),
        ("json", "report.json"),
        ("junit", "junit.xml"),
        ("github", "github.txt"),
    ] {
        let done = check(format);
        assert_eq!(done.code, 2, "{format}: {}", done.stderr);
        compare(file, &done.stdout);
        // What could not be read is told there whatever the format is.
        if format == "text" {
            compare("text.stderr.txt", &done.stderr);
        } else {
            compare("stderr.txt", &done.stderr);
        }
    }
}

#[test]
fn there_is_no_color_without_a_terminal() {
    let done = check("text");
    assert!(!done.stdout.contains('\x1b') && !done.stderr.contains('\x1b'));
}

/// The properties that the schema of SARIF 2.1.0 and GitHub's code scanning require, and the references in it.
#[test]
fn sarif_is_complete_and_its_references_hold() {
    let done = check("sarif");
    let log: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    assert!(
        log["$schema"]
            .as_str()
            .is_some_and(|uri| uri.contains("sarif-schema-2.1.0.json"))
    );
    let [run] = log["runs"].as_array().unwrap().as_slice() else {
        panic!("one run: {log}")
    };
    let driver = &run["tool"]["driver"];
    assert_eq!(driver["name"], "stowage-webhook");
    let rules = driver["rules"].as_array().unwrap();
    for rule in rules {
        assert!(
            rule["id"].is_string() && rule["shortDescription"]["text"].is_string(),
            "{rule}"
        );
        let level = rule["defaultConfiguration"]["level"].as_str().unwrap();
        assert!(matches!(level, "error" | "warning"));
    }
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    for result in results {
        let number = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[number]["id"], result["ruleId"]);
        assert!(
            result["message"]["text"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "input/services.yaml");
        let number = |key: &str| place["region"][key].as_u64().unwrap();
        assert!(number("startLine") >= 1 && number("startColumn") >= 1);
        assert!(number("endColumn") > number("startColumn"));
    }
    let suppressed: Vec<_> = results
        .iter()
        .filter(|result| result["suppressions"][0]["kind"] == "inSource")
        .collect();
    assert_eq!(suppressed.len(), 1);
    let invocation = &run["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    assert_eq!(invocation["exitCode"], 2);
    assert_eq!(
        invocation["toolExecutionNotifications"].as_array().unwrap().len(),
        2
    );
}
