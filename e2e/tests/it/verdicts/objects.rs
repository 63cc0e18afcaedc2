//! Objects to compare verdicts about: the project's own cases and, where they are at hand, upstream's.

use std::{env, fmt, fs, path::PathBuf};

use api::resources::Kind;
use e2e::process;
use serde_json::{Value, json};

/// The namespace of what rules look up; see `context.yaml`.
const SHARED: &str = "default";

/// One object, and what is stored where it is an update.
#[derive(Debug)]
pub(super) struct Object {
    from: String,
    pub(super) kind: Kind,
    pub(super) value: Value,
    pub(super) old: Option<Value>,
    /// The rule that it was written to break.
    pub(super) breaks: Option<String>,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.from)
    }
}

impl Object {
    /// None for what no API server with our definitions takes, such as an older version of a kind.
    fn new(from: String, value: Value, old: Option<Value>) -> Option<Self> {
        let text = |key: &str| value[key].as_str().unwrap_or_default();
        let kind = Kind::of(text("apiVersion"), text("kind"))
            .filter(|kind| kind.api_version() == text("apiVersion"))?;
        let is_same = |old: &Value| old["apiVersion"] == value["apiVersion"] && old["kind"] == value["kind"];
        if old.as_ref().is_some_and(|old| !is_same(old)) {
            return None;
        }
        Some(Self {
            from,
            kind,
            value,
            old,
            breaks: None,
        })
    }

    /// Whether it has to be checked alone: every namespace knows of it, or it looks up what others of the same folder are.
    pub(super) fn is_checked_alone(&self) -> bool {
        !self.kind.namespaced() || self.kind == Kind::TrainedModel
    }

    /// Gives it a place where it disturbs no other object, and takes off what only a server writes.
    fn place(&mut self, number: usize) {
        // What is stored, and what would be looked up, is so only in a namespace of its own.
        let is_seen = matches!(self.kind, Kind::ServingRuntime | Kind::LocalModelNamespaceCache);
        let namespace = match (self.kind.namespaced(), is_seen || self.old.is_some()) {
            (false, _) => None,
            (true, false) => Some(SHARED.to_owned()),
            (true, true) => Some(format!("alone-{number}")),
        };
        let old_name = self.old.as_ref().map(|old| old["metadata"]["name"].clone());
        for value in [Some(&mut self.value), self.old.as_mut()].into_iter().flatten() {
            let Some(metadata) = value["metadata"].as_object_mut() else {
                continue;
            };
            for key in [
                "creationTimestamp",
                "generation",
                "namespace",
                "resourceVersion",
                "uid",
            ] {
                metadata.remove(key);
            }
            if let Some(namespace) = &namespace {
                metadata.insert("namespace".to_owned(), json!(namespace));
            }
            if let Some(name) = &old_name {
                let name = name.as_str().unwrap_or("unnamed");
                let unique = format!("{name}-{number}");
                let name = if namespace.is_some() { name } else { &unique };
                metadata.insert("name".to_owned(), json!(name));
            }
        }
    }

    pub(super) fn namespace(&self) -> Option<&str> {
        self.value["metadata"]["namespace"].as_str()
    }
}

/// Where parties are known to differ; nothing else may. What people cannot write is taken off before rules see it.
fn differs(object: &Object) -> bool {
    !object.value["metadata"]["deletionTimestamp"].is_null()
}

/// Every object that can be had, each in a place of its own.
pub(super) fn all() -> Vec<Object> {
    let mut objects = own();
    objects.extend(more());
    if let Some(folder) = upstream() {
        objects.extend(cases(&folder));
        objects.extend(corpus(&folder));
    }
    objects.retain(|object| !differs(object));
    for (number, object) in objects.iter_mut().enumerate() {
        object.place(number);
    }
    objects
}

/// The project's own cases: for each rule an object that breaks it and one that does not.
fn own() -> Vec<Object> {
    let path = process::root().join("webhook/tests/every_rule.jsonl");
    let text = fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    let mut objects = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let case: Value = serde_json::from_str(line).expect("a case is JSON");
        let rule = case["rule"].as_str().expect("a case has a rule");
        for side in ["bad", "good"] {
            let from = format!("{side} object {number} of {rule}");
            let old = Some(case["old"].clone()).filter(|old| !old.is_null());
            objects.extend(Object::new(from, case[side].clone(), old).map(|object| Object {
                breaks: (side == "bad").then(|| rule.to_owned()),
                ..object
            }));
        }
    }
    objects
}

/// What the cases leave out: rules of definitions that say one thing about several fields, each of which has to be shown.
fn more() -> Vec<Object> {
    let worker = |pipeline: i32, tensor: i32| {
        json!({
            "pipelineParallelSize": pipeline,
            "tensorParallelSize": tensor,
            "containers": [{"name": "worker-container", "image": "x"}],
        })
    };
    let service = |predictor: Value, canary: Value| {
        json!({
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "iris", "annotations": {"serving.kserve.io/deploymentMode": "Standard"}},
            "spec": {"predictor": predictor, "canary": canary},
        })
    };
    let model = json!({"modelFormat": {"name": "huggingface"}, "storageUri": "pvc://models/llama"});
    let runtime = json!({
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": "mine"},
        "spec": {
            "supportedModelFormats": [{"name": "huggingface"}],
            "containers": [{"name": "kserve-container", "image": "x"}],
            "workerSpec": worker(0, 1),
        },
    });
    let workers = json!([{
        "trafficPercent": 1,
        "predictor": {"name": "v2", "model": model.clone(), "workerSpec": worker(2, 1)},
    }]);
    let canary = |name: &str| json!({"trafficPercent": 1, "predictor": {"name": name, "minReplicas": 1, "model": model.clone()}});
    let named = json!({"name": "v1", "model": model.clone()});
    let mut moved = service(json!({"model": model.clone()}), Value::Null);
    moved["status"] = json!({"deploymentMode": "Knative"});
    let mut labeled = moved.clone();
    labeled["metadata"]["labels"] = json!({"team": "a"});
    let all = [
        (
            "no tensor is parallel",
            service(json!({"model": model, "workerSpec": worker(2, 0)}), Value::Null),
        ),
        (
            "two canaries of one name",
            service(named.clone(), json!([canary("v2"), canary("v2")])),
        ),
        (
            "a canary with the name of the predictor",
            service(named.clone(), json!([canary("v1")])),
        ),
        (
            "canaries with names",
            service(named, json!([canary("v2"), canary("v3")])),
        ),
        ("a canary with workers", service(json!({"model": model}), workers)),
        ("a runtime without a pipeline", runtime),
    ];
    let created = all
        .into_iter()
        .map(|(from, value)| Object::new(from.to_owned(), value, None));
    let updated = Object::new(
        "another mode than the running one".to_owned(),
        labeled,
        Some(moved),
    );
    created.chain([updated]).flatten().collect()
}

/// Upstream's cases and manifests, which are not part of this repository: `STOWAGE_CASES`, or `shared` beside the checkout.
fn upstream() -> Option<PathBuf> {
    if let Some(asked) = env::var_os("STOWAGE_CASES") {
        let asked = PathBuf::from(asked);
        assert!(
            asked.join("cases").is_dir() && asked.join("corpus").is_dir(),
            "STOWAGE_CASES has no folders `cases` and `corpus`: {}",
            asked.display()
        );
        return Some(asked);
    }
    let beside = process::root().join("../shared");
    beside.join("cases").is_dir().then_some(beside)
}

/// Files below a folder, sorted.
fn files(folder: PathBuf, ending: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder]);
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|err| panic!("{}: {err}", folder.display()));
        for path in entries.map(|entry| entry.expect("an entry of a folder").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Objects of upstream's unit tests. What they suppose of the cluster is left out: everybody is asked about the same one.
fn cases(folder: &std::path::Path) -> Vec<Object> {
    let mut objects = Vec::new();
    for path in files(folder.join("cases"), "json") {
        let text = fs::read_to_string(&path).expect("a file that was listed");
        let suite: Value =
            serde_json::from_str(&text).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        let cases = suite.get("cases").unwrap_or(&suite).as_array();
        for case in cases.into_iter().flatten() {
            if case["operation"] == "DELETE" {
                continue;
            }
            let from = format!("case {}", case["name"]);
            let old = case.get("old_object").filter(|old| !old.is_null());
            let update = case["operation"] == "UPDATE";
            objects.extend(Object::new(
                from,
                case["object"].clone(),
                old.filter(|_| update).cloned(),
            ));
        }
    }
    assert!(!objects.is_empty(), "no case in {}", folder.display());
    objects
}

/// Manifests that upstream publishes.
fn corpus(folder: &std::path::Path) -> Vec<Object> {
    let mut objects = Vec::new();
    for path in files(folder.join("corpus"), "yaml") {
        let text = fs::read_to_string(&path).expect("a file that was listed");
        let values: Vec<Value> =
            serde_saphyr::from_multiple(&text).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
        let name = path.display();
        objects.extend(
            values
                .into_iter()
                .filter_map(|value| Object::new(name.to_string(), value, None)),
        );
    }
    assert!(!objects.is_empty(), "no manifest in {}", folder.display());
    objects
}
