//! Upstream's own cases: object in, verdict out.

use serde_json::{Value, json};
use webhook::{
    Kind, Mode, Operation, Options, Request, Snapshot,
    config::Config,
    runtime_defaults::{protocol, runtime_defaults},
    validate,
};

use crate::{objects, shared};

const SUITES: [&str; 7] = [
    "inferencegraph_validation",
    "isvc_component_validation",
    "isvc_validation",
    "localmodelcache_validation",
    "modelmesh_servingruntime_validation",
    "servingruntime_validation",
    "trainedmodel_validation",
];

/// The cluster that a case describes.
fn snapshot(context: &Value) -> Snapshot {
    let mut snapshot = Snapshot::synced();
    let lists = [
        "existing_runtimes",
        "existing_objects",
        "local_model_caches",
        "local_model_namespace_caches",
    ];
    for object in lists
        .iter()
        .filter_map(|list| context.get(*list)?.as_array())
        .flatten()
    {
        snapshot
            .observe(object, "default")
            .expect("no configuration among them");
    }
    if let Some(data) = context.get("inferenceservice_config").and_then(Value::as_object) {
        let caches = lists[2..].iter().any(|list| context.get(*list).is_some());
        // These cases hand the defaults to the function under test, and the caches whatever the configuration says.
        let security = data.contains_key("security");
        let mut config = Config::parse(data).unwrap_or_else(|err| panic!("{err}"));
        config.local_model |= caches;
        config.automount_token |= !security;
        snapshot.set_config(config);
    }
    snapshot
}

fn operation(case: &Value) -> Operation {
    match case["operation"].as_str() {
        Some("UPDATE") => Operation::Update,
        Some("DELETE") => Operation::Delete,
        _ => Operation::Create,
    }
}

/// The kind whose webhook is asked; a case may send an object of another kind.
fn kind(suite: &str, case: &Value) -> Kind {
    let of = |object: &Value| {
        let name = object["kind"].as_str().unwrap_or_default();
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    };
    let fallback = match suite {
        "inferencegraph_validation" => Kind::InferenceGraph,
        "localmodelcache_validation" => Kind::LocalModelCache,
        "modelmesh_servingruntime_validation" | "servingruntime_validation" => Kind::ServingRuntime,
        "trainedmodel_validation" => Kind::TrainedModel,
        _ => Kind::InferenceService,
    };
    let family = |kind: &Kind| match fallback {
        Kind::LocalModelCache => matches!(kind, Kind::LocalModelCache | Kind::LocalModelNamespaceCache),
        Kind::ServingRuntime => matches!(kind, Kind::ServingRuntime | Kind::ClusterServingRuntime),
        only => *kind == only,
    };
    of(&case["old_object"])
        .filter(family)
        .or_else(|| of(&case["object"]).filter(family))
        .unwrap_or(fallback)
}

fn request<'a>(suite: &str, case: &'a Value) -> Request<'a> {
    let object = case.get("object").filter(|object| !object.is_null());
    let text = |pointer: &str| case.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    Request {
        operation: operation(case),
        kind: kind(suite, case),
        namespace: text("/object/metadata/namespace"),
        name: text("/object/metadata/name"),
        object,
        old: case.get("old_object").filter(|object| !object.is_null()),
    }
}

/// The verdict that the whole webhook owes.
fn expected(suite: &str, case: &Value) -> Option<bool> {
    let whole = case["expected_full_validator"]["allowed"].as_bool();
    let level = case["level"].as_str().unwrap_or_default();
    let own = case["expected"]["allowed"].as_bool();
    whole.or(
        if level.starts_with("webhook") || suite == "modelmesh_servingruntime_validation" {
            own
        } else {
            None
        },
    )
}

#[test]
fn every_case_gets_upstreams_verdict() {
    let mut failures = Vec::new();
    let mut driven = 0;
    for suite in SUITES {
        for case in shared::suite(suite) {
            let Some(expected) = expected(suite, &case) else {
                continue;
            };
            driven += 1;
            let (request, snapshot) = (request(suite, &case), snapshot(&case["context"]));
            let later = case["level"]
                .as_str()
                .unwrap_or_default()
                .starts_with("controller");
            for ratchet in [true, false] {
                let options = Options {
                    ratchet,
                    ..Options::default()
                };
                let findings = validate(&request, &snapshot, &options);
                let allowed = objects::passes(&findings);
                let warned = findings.iter().any(|finding| !finding.denies());
                let owed = case["expected"]["warns"] == json!(true) || (later && !expected);
                if allowed != (expected || later) || (owed && !warned) {
                    let listed = objects::lines(&findings);
                    failures.push(format!(
                        "{} ratchet {ratchet}: expected {expected}{listed}",
                        case["name"]
                    ));
                }
            }
            let strict = validate(&request, &snapshot, &objects::options(Mode::Strict));
            if !expected && objects::passes(&strict) {
                failures.push(format!("{}: strict mode lets it pass", case["name"]));
            }
            if let Some(expected) = case["expected_after_defaulting"]["allowed"].as_bool() {
                let reviewed = objects::review(&request, &snapshot, &Options::default());
                if objects::passes(&reviewed.findings) != expected {
                    let listed = objects::lines(&reviewed.findings);
                    failures.push(format!(
                        "{} after defaulting: expected {expected}{listed}",
                        case["name"]
                    ));
                }
            }
        }
    }
    assert!(driven > 100 || shared::folder().is_none(), "{driven} cases");
    shared::report(&failures);
}

/// Whether `found` has all that `wanted` has; null, empty, zero and absent are the same.
fn contains(found: &Value, wanted: &Value) -> bool {
    fn nothing(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Bool(value) => !value,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(members) => members.values().all(nothing),
        }
    }
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| contains(found.get(key).unwrap_or(&Value::Null), wanted)),
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len()
                && found
                    .iter()
                    .zip(wanted)
                    .all(|(found, wanted)| contains(found, wanted))
        }
        (found, wanted) => found == wanted || (nothing(found) && nothing(wanted)),
    }
}

/// The assertions of upstream's test, as far as they say more than the object that is expected.
fn holds(found: &Value, assertion: &Value) -> bool {
    let at = found
        .pointer(assertion["path"].as_str().unwrap_or_default())
        .unwrap_or(&Value::Null);
    assertion["positive"].as_bool().unwrap_or(true) == matches(at, &assertion["match"])
}

fn matches(found: &Value, matcher: &Value) -> bool {
    let argument = |index: usize| matcher["args"].get(index).unwrap_or(&Value::Null);
    match matcher["op"].as_str().unwrap_or_default() {
        "BeNil" => found.is_null(),
        "Equal" => contains(found, argument(0)) && contains(argument(0), found),
        "HaveKey" => argument(0).as_str().is_some_and(|key| found.get(key).is_some()),
        "HaveKeyWithValue" => argument(0)
            .as_str()
            .is_some_and(|key| found.get(key) == Some(argument(1))),
        "ContainElement" => found.as_array().is_some_and(|list| list.contains(argument(0))),
        "Not" => !matches(found, argument(0)),
        "And" => matcher["args"]
            .as_array()
            .into_iter()
            .flatten()
            .all(|inner| matches(found, inner)),
        other => panic!("the matcher {other} is new"),
    }
}

#[test]
fn every_object_is_defaulted_as_upstream_does_it() {
    let mut failures = Vec::new();
    for case in shared::suite("isvc_defaulting") {
        let (request, snapshot) = (request("isvc", &case), snapshot(&case["context"]));
        let mut found = objects::review(&request, &snapshot, &Options::default()).defaulted;
        if let Some(steps) = case["reconcile_steps"].as_array() {
            let runtime = steps
                .iter()
                .find(|step| step["set"] == "spec/predictor/model/runtime")
                .map(|step| &step["value"]);
            let server_type = steps.iter().find_map(|step| {
                step["server_type"]
                    .as_str()
                    .or(step["runtime_annotations"]["serving.kserve.io/server-type"].as_str())
            });
            let runtime = runtime.and_then(Value::as_str).unwrap_or_default();
            found["spec"]["predictor"]["model"]["runtime"] = json!(runtime);
            let patch = runtime_defaults(&found, runtime, server_type);
            webhook::patch::apply(&mut found, &patch).expect("the patch applies");
        }
        if !contains(&found, &case["expected"]["defaulted"]) {
            failures.push(format!(
                "{}: expected {}\n    found {found}",
                case["name"], case["expected"]["defaulted"]
            ));
        }
        for assertion in case["expected"]["assertions"].as_array().into_iter().flatten() {
            if !holds(&found, assertion) {
                failures.push(format!("{}: {assertion} does not hold of {found}", case["name"]));
            }
        }
    }
    shared::report(&failures);
}

/// Custom components are defaulted by the webhook; frameworks only become `model`.
#[test]
fn every_custom_component_is_defaulted_as_upstream_does_it() {
    let mut failures = Vec::new();
    for case in shared::suite("isvc_component_defaulting") {
        let component = case["component"].as_str().unwrap_or_default();
        let fragment = &case["object_fragment"];
        let pod = fragment
            .get("podSpec")
            .or(fragment["args"].get(0))
            .unwrap_or(fragment);
        let spec = match component.trim_start_matches("v1beta1.") {
            "CustomPredictor" => json!({"predictor": pod}),
            "CustomTransformer" => json!({"predictor": {"model": {}}, "transformer": pod}),
            "CustomExplainer" => json!({"predictor": {"model": {}}, "explainer": pod}),
            _ => continue,
        };
        let mut context = case["context"].clone();
        context["inferenceservice_config"] = json!({"inferenceService": context["inferenceservice_config"]});
        let object = objects::service(spec.clone());
        let request = objects::request(Kind::InferenceService, &object, None);
        let found = objects::review(&request, &snapshot(&context), &Options::default()).defaulted;
        let key = ["explainer", "transformer", "predictor"]
            .into_iter()
            .find(|key| spec.get(*key).is_some());
        let wanted = &case["expected"]["defaulted_component_spec"];
        if !contains(&found["spec"][key.unwrap_or_default()], wanted) {
            failures.push(format!("{}: expected {wanted}\n    found {found}", case["name"]));
        }
    }
    shared::report(&failures);
}

#[test]
fn every_component_speaks_what_it_speaks_upstream() {
    let mut failures = Vec::new();
    for case in shared::suite("isvc_component_protocol") {
        let component = case["component"]
            .as_str()
            .unwrap_or_default()
            .trim_start_matches("v1beta1.")
            .to_owned();
        let fragment = &case["object_fragment"];
        let found = match component.as_str() {
            "CustomPredictor" => protocol(fragment.get("podSpec").unwrap_or(fragment)),
            "CustomTransformer" | "CustomExplainer" => "v1".to_owned(),
            "ModelSpec" => protocol(&json!({"model": fragment})),
            framework => protocol(&json!({framework: fragment})),
        };
        if json!(found) != case["expected"]["protocol"] {
            failures.push(format!(
                "{}: found {found}, expected {}",
                case["name"], case["expected"]["protocol"]
            ));
        }
    }
    shared::report(&failures);
}
