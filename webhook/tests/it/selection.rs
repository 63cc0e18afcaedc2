//! Which runtime is chosen, and why the others are not.

use serde_json::{Value, json};
use webhook::{
    Snapshot,
    select::{Wish, kserve, model_mesh},
    snapshot::Runtime,
};

use crate::{shared, shipped};

fn installed() -> Snapshot {
    let mut snapshot = Snapshot::synced();
    for runtime in shipped::KSERVE {
        snapshot
            .observe(&shipped::kserve_runtime(runtime), "")
            .expect("no configuration");
    }
    snapshot
}

/// Names in order for a format, as `name` or `name@version`.
fn chosen(snapshot: &Snapshot, format: &str, protocol: Option<&str>) -> Vec<String> {
    let (format, version) = match format.split_once('@') {
        Some((format, version)) => (format, Some(version)),
        None => (format, None),
    };
    let wish = Wish {
        namespace: "default",
        format,
        version,
        protocol,
        ..Wish::default()
    };
    kserve(&wish, snapshot)
        .candidates
        .iter()
        .map(|runtime| runtime.name.clone())
        .collect()
}

#[test]
fn what_upstream_installs_serves_what_it_serves_there() {
    let snapshot = installed();
    for (format, protocol, expected) in [
        ("sklearn", None, "kserve-sklearnserver"),
        ("sklearn", Some("v2"), "kserve-mlserver kserve-sklearnserver"),
        ("sklearn@0", None, ""),
        ("sklearn@0", Some("v2"), "kserve-mlserver"),
        ("sklearn@1.0", Some("v2"), ""),
        ("Sklearn", None, ""),
        ("mlflow", None, ""),
        ("onnx", None, ""),
        ("onnx", Some("v2"), "kserve-tritonserver"),
        ("tensorflow", Some("grpc-v1"), "kserve-tensorflow-serving"),
        ("pytorch", Some("v2"), "kserve-torchserve"),
        ("vLLM", Some("grpc-v2"), "kserve-vllmserver"),
        ("huggingface", None, "kserve-huggingfaceserver"),
    ] {
        assert_eq!(
            chosen(&snapshot, format, protocol).join(" "),
            expected,
            "{format} {protocol:?}"
        );
    }
}

#[test]
fn every_row_of_the_matrix() {
    let Some(matrix) = shared::read("cases/runtime_matrix.tsv") else {
        return;
    };
    let (installed, mut all) = (installed(), installed());
    all.observe(&shipped::kserve_runtime(shipped::OPENVINO), "")
        .expect("no configuration");
    let mut failures = Vec::new();
    let mut rows = 0;
    for line in matrix
        .lines()
        .filter(|line| line.starts_with("installed\t") || line.starts_with("all\t"))
    {
        rows += 1;
        let cells: Vec<&str> = line.split('\t').collect();
        let cell = |column: usize| cells.get(column).copied().unwrap_or_default();
        let snapshot = if cell(0) == "all" { &all } else { &installed };
        let format = if cell(2).is_empty() {
            cell(1).to_owned()
        } else {
            format!("{}@{}", cell(1), cell(2))
        };
        let found = chosen(snapshot, &format, Some(cell(4)).filter(|text| !text.is_empty())).join(",");
        if found != cell(5) {
            failures.push(format!("{line}\n    found {found}"));
        }
    }
    assert!(rows > 300, "the matrix has {rows} rows");
    shared::report(&failures);
}

#[test]
fn every_case_of_selection() {
    let Some(suite) = shared::json("cases/runtime_selection.json") else {
        return;
    };
    let mut failures = Vec::new();
    let mut driven = 0;
    for case in suite["cases"].as_array().expect("a list") {
        let (expected, context) = (&case["expected"], &case["context"]);
        let found = if expected.get("runtimes_in_order").is_some() {
            let mut snapshot = Snapshot::synced();
            for list in ["serving_runtimes", "cluster_serving_runtimes"] {
                let objects = match context[list].as_str() {
                    Some(name) => &suite["shared"][name.trim_start_matches("$shared.")],
                    None => &context[list],
                };
                for object in objects.as_array().into_iter().flatten() {
                    snapshot.observe(object, "default").expect("no configuration");
                }
            }
            let model = &case["object_fragment"]["predictor.model"];
            let wish = Wish {
                namespace: context["namespace"].as_str().unwrap_or_default(),
                format: model["modelFormat"]["name"].as_str().unwrap_or_default(),
                version: model["modelFormat"]["version"].as_str(),
                protocol: model["protocolVersion"].as_str(),
                multi_model: context["is_mms"] == json!(true),
                multi_node: context["is_multinode"] == json!(true),
            };
            let selection = kserve(&wish, &snapshot);
            let names: Vec<&str> = selection
                .candidates
                .iter()
                .map(|runtime| runtime.name.as_str())
                .collect();
            json!({"runtimes_in_order": names, "selected": names.first()})
        } else if expected.get("is_disabled").is_some() {
            json!({"is_disabled": Runtime::read(&json!({"spec": case["object_fragment"]})).disabled})
        } else if expected.get("auto_select_enabled").is_some() {
            let runtime =
                Runtime::read(&json!({"spec": {"supportedModelFormats": [case["object_fragment"]]}}));
            json!({"auto_select_enabled": runtime.formats[0].auto_select})
        } else {
            continue;
        };
        driven += 1;
        if &found != expected {
            failures.push(format!("{}: expected {expected}, found {found}", case["name"]));
        }
    }
    assert!(driven > 0);
    shared::report(&failures);
}

fn runtime(
    name: &str,
    namespace: Option<&str>,
    created: &str,
    priority: Option<i64>,
    protocols: &[&str],
) -> Value {
    let mut object = json!({
        "kind": if namespace.is_some() { "ServingRuntime" } else { "ClusterServingRuntime" },
        "metadata": {"name": name, "creationTimestamp": created},
        "spec": {
            "protocolVersions": protocols,
            "supportedModelFormats": [{"name": "onnx", "autoSelect": true}],
        },
    });
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    if let Some(priority) = priority {
        object["spec"]["supportedModelFormats"][0]["priority"] = json!(priority);
    }
    object
}

#[test]
fn order_is_by_scope_priority_protocol_age_and_name() {
    let mut snapshot = Snapshot::synced();
    let (old, new) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    for object in [
        runtime("c-high", None, old, Some(9), &["v2"]),
        runtime("a-none", Some("default"), new, None, &["v2"]),
        runtime("b-none", Some("default"), new, None, &["v2"]),
        runtime("old", Some("default"), old, None, &["v2"]),
        runtime("simple", Some("default"), old, None, &["v2", "v1"]),
        runtime("one", Some("default"), old, Some(1), &["v2"]),
        runtime("elsewhere", Some("other"), new, Some(9), &["v2"]),
    ] {
        snapshot.observe(&object, "").expect("no configuration");
    }
    let order = chosen(&snapshot, "onnx", Some("v2"));
    assert_eq!(order, ["one", "simple", "a-none", "b-none", "old", "c-high"]);

    snapshot.forget("ServingRuntime", "default", "one");
    assert_eq!(chosen(&snapshot, "onnx", Some("v2"))[0], "simple");
}

#[test]
fn an_explanation_names_every_reason() {
    let snapshot = shipped::cluster();
    let wish = Wish {
        namespace: "default",
        format: "mlflow",
        ..Wish::default()
    };
    let text = kserve(&wish, &snapshot).to_string();
    assert!(
        text.contains(
            "`kserve-mlserver` speaks `v2`, not `v1` (assumed, since `protocolVersion` is not set)"
        ),
        "{text}"
    );
    let wish = Wish {
        format: "sklearn",
        version: Some("9"),
        protocol: Some("v2"),
        ..wish
    };
    let text = kserve(&wish, &snapshot).to_string();
    for part in [
        "`off` is disabled and lists the format",
        "`kserve-sklearnserver` lists the format in version `1`",
        "`mlserver-mesh` is for ModelMesh",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_mesh_takes_any_protocol_unless_one_is_named() {
    let snapshot = shipped::cluster();
    let pool = |version, protocol| {
        let wish = Wish {
            namespace: "default",
            format: "sklearn",
            version,
            protocol,
            multi_model: true,
            multi_node: false,
        };
        model_mesh(&wish, &snapshot)
            .candidates
            .iter()
            .map(|runtime| runtime.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(pool(None, None), ["mlserver-mesh"]);
    assert_eq!(pool(Some("0"), Some("grpc-v2")), ["mlserver-mesh"]);
    assert_eq!(pool(None, Some("v2")), ["mlserver-mesh"], "REST comes with gRPC");
    assert_eq!(pool(None, Some("v1")), <[String; 0]>::default());
    assert_eq!(pool(Some("1"), None), <[String; 0]>::default());
}
