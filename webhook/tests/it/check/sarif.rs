//! SARIF against its schema, and what the schema does not say: references hold, and places are real.

use std::{path::Path, process::Command};

use serde_json::Value;

use super::{DENIED, Folder, GOOD, formats::check, service};

/// The schema of SARIF 2.1.0, as a Python package has it.
fn schema() -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let requirements = root.join("tests/sarif/requirements.txt");
    let venv = Command::new(root.join("../scripts/venv.sh"))
        .arg(&requirements)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&venv.stderr);
    assert!(
        venv.status.success(),
        "scripts/venv.sh could not make the Python environment of {}; it needs python3 with venv and a package index: {said}",
        requirements.display()
    );
    let python = Path::new(String::from_utf8(venv.stdout).unwrap().trim()).join("bin/python");
    let printed = Command::new(python)
        .arg(root.join("tests/sarif/schema.py"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&printed.stderr);
    assert!(printed.status.success(), "schema.py failed: {said}");
    let mut schema: Value = serde_json::from_slice(&printed.stdout).unwrap();
    // An expression with a bracket that is never opened, which only some engines take. Reports name no language.
    for holder in ["run", "toolComponent"] {
        let language = &mut schema["definitions"][holder]["properties"]["language"];
        language.as_object_mut().unwrap().remove("pattern").unwrap();
    }
    schema
}

#[test]
fn every_report_fits_the_schema() {
    let schema = schema();
    assert!(schema["title"].as_str().unwrap().contains("Version 2.1.0"));
    let validator = jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap();
    let folder = Folder::with(&[
        ("good.yaml", &service("iris", GOOD)),
        ("a b/ü.yaml", &service("iris", DENIED)),
        ("broken.yaml", "a: [\n"),
    ]);
    let mut reports = vec![check("sarif").stdout];
    for args in [
        &["good.yaml"][..],
        &["a b", "--mode", "strict"],
        &["good.yaml", "missing.yaml", "broken.yaml"],
    ] {
        reports.push(folder.run(&[&["check", "-o", "sarif"], args].concat()).stdout);
    }
    for text in reports {
        let report: Value = serde_json::from_str(&text).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&report)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:?} in {text}");
        // A schema that takes anything would take this too.
        let mut wrong = report;
        wrong["runs"][0]["tool"]["driver"]["name"] = Value::Null;
        assert!(!validator.is_valid(&wrong));
    }
}

/// What GitHub's code scanning asks for besides, and the references.
#[test]
fn references_hold_and_places_are_real() {
    let done = check("sarif");
    let log: Value = serde_json::from_str(&done.stdout).unwrap();
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
