//! Upstream's cases and manifests, which are not part of this repository: the folder named by `STOWAGE_CASES`, or
//! `shared` beside the checkout. Tests that need it have nothing to do without it.

use std::{fs, path::PathBuf};

use serde_json::Value;

/// The folder, if it is there. One that was asked for has to be.
pub(crate) fn folder() -> Option<PathBuf> {
    if let Some(asked) = std::env::var_os("STOWAGE_CASES") {
        let asked = PathBuf::from(asked);
        assert!(
            asked.join("cases").is_dir(),
            "STOWAGE_CASES has no folder `cases`: {}",
            asked.display()
        );
        return Some(asked);
    }
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    beside.join("cases").is_dir().then_some(beside)
}

pub(crate) fn read(path: &str) -> Option<String> {
    let path = folder()?.join(path);
    Some(fs::read_to_string(&path).unwrap_or_else(|err| panic!("cannot read {}: {err}", path.display())))
}

pub(crate) fn json(path: &str) -> Option<Value> {
    Some(serde_json::from_str(&read(path)?).unwrap_or_else(|err| panic!("{path}: {err}")))
}

/// The cases of a suite.
pub(crate) fn suite(name: &str) -> Vec<Value> {
    let Some(mut suite) = json(&format!("cases/{name}.json")) else {
        return Vec::new();
    };
    match suite.get_mut("cases") {
        Some(cases) => cases.take(),
        None => suite,
    }
    .as_array()
    .cloned()
    .unwrap_or_default()
}

/// Fails with everything that went wrong.
pub(crate) fn report(failures: &[String]) {
    assert!(
        failures.is_empty(),
        "{} went wrong:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
