//! Objects to compare verdicts about, and what `check` says about them.

use std::{collections::BTreeSet, env, fmt, fs, path::PathBuf};

use e2e::process;
use serde_json::Value;

/// One object, and what is stored where it is an update.
pub(super) struct Object {
    from: String,
    pub(super) value: Value,
    pub(super) old: Option<Value>,
    /// A rule about updates: it says nothing without the old one.
    pub(super) needs_old: bool,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.from)
    }
}

/// Places the object into a namespace that exists, without what only a server writes.
fn placed(mut value: Value) -> Value {
    if let Some(metadata) = value["metadata"].as_object_mut() {
        if metadata.contains_key("namespace") {
            metadata.insert("namespace".to_owned(), "default".into());
        }
        for key in ["resourceVersion", "uid", "generation"] {
            metadata.remove(key);
        }
    }
    value
}

/// Objects that do not reach policies, or in another form than `check`, which reads what is in the file.
fn is_changed_on_its_way(case: &Value) -> bool {
    let storage = case["bad"]["spec"]["predictor"]["storageUris"].as_array();
    // The definition's default fills the path in before policies look.
    let has_default =
        storage.is_some_and(|entries| entries.iter().any(|entry| entry.get("mountPath").is_none()));
    // What is created has no status, and the rule is about the stored one.
    // Names that no object may have, whatever its kind, are refused before.
    let names = ["bad", "good"].map(|side| case[side]["metadata"]["name"].as_str().unwrap_or("unnamed"));
    let is_refused = names
        .iter()
        .any(|name| name.starts_with('-') || name.contains('_'));
    is_refused || case["rule"] == "IS-U02" || (case["rule"] == "IS-V07c" && has_default)
}

/// The project's own cases: for each rule an object that breaks it and one that does not.
pub(super) fn own() -> Vec<Object> {
    let path = process::root().join("webhook/tests/every_rule.jsonl");
    let text = fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    let cases = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a case is JSON"))
        .filter(|case| !is_changed_on_its_way(case));
    cases
        .enumerate()
        .flat_map(|(number, case)| {
            ["bad", "good"].map(|side| {
                let mut value = placed(case[side].clone());
                let mut old = (!case["old"].is_null()).then(|| placed(case["old"].clone()));
                if let Some(old) = &mut old {
                    // Cases of updates share names, and each needs its own stored object.
                    let name = format!(
                        "{}-{number}-{side}",
                        old["metadata"]["name"].as_str().unwrap_or_default()
                    );
                    old["metadata"]["name"] = name.as_str().into();
                    value["metadata"]["name"] = name.into();
                }
                Object {
                    from: format!(
                        "{side} object {number} of {}",
                        case["rule"].as_str().unwrap_or_default()
                    ),
                    value,
                    needs_old: old.is_some(),
                    old,
                }
            })
        })
        .collect()
}

/// Manifests of upstream's repositories, where they are at hand: `STOWAGE_CASES`, or `shared` beside the checkout.
pub(super) fn corpus() -> Vec<Object> {
    let folder =
        env::var_os("STOWAGE_CASES").map_or_else(|| process::root().join("../shared"), PathBuf::from);
    let mut found = Vec::new();
    let mut folders = vec![folder.join("corpus")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "yaml") {
                let text = fs::read_to_string(&path).expect("the corpus can be read");
                let values: Vec<Value> = kube_yaml(&text);
                found.extend(values.into_iter().filter(is_served).map(|value| Object {
                    from: path.display().to_string(),
                    value: placed(value),
                    old: None,
                    needs_old: false,
                }));
            }
        }
    }
    found
}

/// Whether the group is one that the cluster has; some manifests are older than it.
fn is_served(value: &Value) -> bool {
    let version = value["apiVersion"].as_str();
    version.is_some_and(|version| version.starts_with("serving.kserve.io/"))
}

fn kube_yaml(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).expect("the corpus is YAML")
}

/// What `check` says about an object.
pub(super) struct Verdict {
    pub(super) defaulted: Value,
    /// Every rule with a finding.
    pub(super) rules: BTreeSet<String>,
    pub(super) denied_by: BTreeSet<String>,
}

/// Asks `check --mode strict` about each object, alone.
pub(super) async fn check(objects: &[Object]) -> Vec<Verdict> {
    let folder = tempfile::tempdir().unwrap();
    let mut verdicts = Vec::new();
    for object in objects {
        let (new, old) = (folder.path().join("new.json"), folder.path().join("old.json"));
        fs::write(&new, object.value.to_string()).unwrap();
        let mut args = vec!["check", "--mode", "strict", "-o", "json"];
        let (new, old_path) = (new.display().to_string(), old.display().to_string());
        args.push(&new);
        if let Some(value) = &object.old {
            fs::write(&old, value.to_string()).unwrap();
            args.extend(["--old", &old_path]);
        }
        let done = process::run(process::binary("stowage-webhook").unwrap(), &args)
            .await
            .unwrap();
        assert!(matches!(done.code, Some(0 | 1)), "{object}: {}", done.stderr);
        let report: Value = serde_json::from_str(&done.stdout).expect("check prints JSON");
        let rules = |severity: Option<&str>| {
            let findings = report[0]["findings"].as_array().into_iter().flatten();
            findings
                .filter(|finding| finding.get("suppressed").is_none())
                .filter(|finding| severity.is_none_or(|severity| finding["severity"] == severity))
                .filter_map(|finding| finding["rule"].as_str().map(str::to_owned))
                .collect()
        };
        verdicts.push(Verdict {
            defaulted: report[0]["defaulted"].clone(),
            rules: rules(None),
            denied_by: rules(Some("deny")),
        });
    }
    verdicts
}
