//! What `stowage-webhook check` says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use e2e::process;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use tempfile::TempDir;

use super::{CONTEXT, objects::Object};

/// Processes at once.
const AT_ONCE: usize = 4;

/// The verdict about one object.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    pub(super) defaulted: Value,
    pub(super) denied_by: BTreeSet<String>,
    pub(super) warned_by: BTreeSet<String>,
}

impl Verdict {
    fn read(element: &mut Value) -> Self {
        let rules = |severity: &str| {
            let findings = element["findings"].as_array().into_iter().flatten();
            findings
                .filter(|finding| finding.get("suppressed").is_none() && finding["severity"] == severity)
                .map(|finding| finding["rule"].as_str().expect("a finding has a rule").to_owned())
                .collect()
        };
        let verdict = Self {
            denied_by: rules("deny"),
            warned_by: rules("warn"),
            defaulted: Value::Null,
        };
        assert_eq!(element["allowed"], verdict.is_allowed(), "{element}");
        Self {
            defaulted: element["defaulted"].take(),
            ..verdict
        }
    }

    pub(super) fn is_allowed(&self) -> bool {
        self.denied_by.is_empty()
    }

    /// Every rule with a finding.
    pub(super) fn rules(&self) -> BTreeSet<String> {
        self.denied_by.union(&self.warned_by).cloned().collect()
    }
}

/// Asks about all objects, in their order: one process for those that know nothing of each other, and one for each other.
pub(super) async fn check(objects: &[Object], mode: &str) -> Vec<Verdict> {
    let folder = TempDir::new().unwrap();
    let (old, together, alone) = (
        folder.path().join("old"),
        folder.path().join("together"),
        folder.path().join("alone"),
    );
    for folder in [&old, &together, &alone] {
        fs::create_dir(folder).unwrap();
    }
    let mut asked = vec![together.clone()];
    for (number, object) in objects.iter().enumerate() {
        let name = format!("{number}.json");
        if let Some(value) = &object.old {
            fs::write(old.join(&name), value.to_string()).unwrap();
        }
        let path = if object.is_checked_alone() {
            asked.push(alone.join(&name));
            alone.join(&name)
        } else {
            together.join(&name)
        };
        fs::write(path, object.value.to_string()).unwrap();
    }
    let reports = stream::iter(&asked).map(|path| run(mode, &old, path));
    let reports: Vec<_> = reports
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
    let mut verdicts: BTreeMap<usize, Verdict> = reports.into_iter().flatten().collect();
    let take = |number| verdicts.remove(&number).expect("check answers for every object");
    (0..objects.len()).map(take).collect()
}

/// Checks a file or folder; the numbers are the names of its files.
async fn run(mode: &str, old: &Path, path: &Path) -> anyhow::Result<Vec<(usize, Verdict)>> {
    let text = |path: &Path| path.display().to_string();
    let context = process::root().join(CONTEXT);
    let (old, path, context) = (text(old), text(path), text(&context));
    let args = [
        "check",
        "--mode",
        mode,
        "-o",
        "json",
        "--context",
        &context,
        "--context",
        &old,
        "--old",
        &old,
        &path,
    ];
    let done = process::run(process::binary("stowage-webhook")?, args).await?;
    anyhow::ensure!(matches!(done.code, Some(0 | 1)), "{path}: {}", done.stderr);
    let mut report: Vec<Value> = serde_json::from_str(&done.stdout)?;
    let numbered = |element: &mut Value| {
        let file = element["file"].as_str().map(Path::new);
        let stem = file.and_then(Path::file_stem).and_then(|stem| stem.to_str());
        let number = stem.and_then(|stem| stem.parse().ok()).expect("a file of ours");
        (number, Verdict::read(element))
    };
    Ok(report.iter_mut().map(numbered).collect())
}
