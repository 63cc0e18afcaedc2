//! The check against the schema: what it says, and that it agrees with another validator.

use api::resources::Kind;
use api::resources::schema::{self, Problem, Violation};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::manifests;
use super::round_trip::without_nulls;

/// `path: message [hint]` of each problem.
fn lines(problems: &[Problem]) -> Vec<String> {
    let hint = |problem: &Problem| {
        problem
            .hint
            .as_ref()
            .map(|hint| format!(" ({hint})"))
            .unwrap_or_default()
    };
    problems
        .iter()
        .map(|problem| format!("{}: {}{}", problem.path, problem.message, hint(problem)))
        .collect()
}

fn check(kind: Kind, object: &Value) -> Vec<String> {
    lines(&schema::check(kind, object))
}

fn service(spec: &Value) -> Value {
    json!({"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "m"}, "spec": spec})
}

fn kind_of(object: &Value) -> Kind {
    let name = object["kind"].as_str().unwrap_or_default();
    Kind::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
        .unwrap_or_else(|| panic!("{name} is none of our kinds"))
}

#[test]
fn messages() {
    let cases = [
        (json!({}), "spec.predictor: is missing, and must be there"),
        (
            json!({"predictor": []}),
            "spec.predictor: must be an object; found a list",
        ),
        (
            json!({"predictor": {"minReplicas": "1"}}),
            "spec.predictor.minReplicas: must be a whole number; found text (leave the quotes out)",
        ),
        (
            json!({"predictor": {"minReplicas": 1.5}}),
            "spec.predictor.minReplicas: must be a whole number; found 1.5",
        ),
        (
            json!({"predictor": {"minReplicas": 3_000_000_000_i64}}),
            "spec.predictor.minReplicas: must be -2147483648 to 2147483647; found 3000000000",
        ),
        (
            json!({"predictor": {"scaleMetric": "cpus"}}),
            "spec.predictor.scaleMetric: must be one of cpu, memory, concurrency, rps; found `cpus` (did you mean `cpu`?)",
        ),
        (
            json!({"predictor": {"name": "Stable"}}),
            "spec.predictor.name: must be lower-case letters, digits and `-`, beginning with a letter and ending with a \
             letter or digit; found `Stable`",
        ),
        (
            json!({"predictor": {"model": {"storageURI": "s3://b/m"}}}),
            "spec.predictor.model.storageURI: is no known field (did you mean `storageUri`?)",
        ),
        (
            json!({"predictor": {"model": {"modelFormat": {}}}}),
            "spec.predictor.model.modelFormat.name: is missing, and must be there",
        ),
        (
            json!({"predictor": {"model": {"env": [{"name": "A", "value": 1}]}}}),
            "spec.predictor.model.env[0].value: must be text; found a number (put it in quotes)",
        ),
        (
            json!({"predictor": {"model": {"env": [{"name": "A"}, {"name": "B"}, {"name": "A"}]}}}),
            "spec.predictor.model.env[2]: has the same `name` as item 0; each may be there once",
        ),
        (
            json!({"predictor": {"containers": [{"image": "i"}]}}),
            "spec.predictor.containers[0].name: is missing, and must be there",
        ),
        (
            json!({"predictor": {"model": {"resources": {"limits": {"memory": "2 Gi"}}}}}),
            "spec.predictor.model.resources.limits[memory]: must be a quantity such as `500m`, `4` or `2Gi`; found `2 Gi`",
        ),
        (
            json!({"predictor": {"model": {"resources": {"limits": {"cpu": 0.5}}}}}),
            "",
        ),
        (
            json!({"predictor": {"model": {"resources": {"limits": {"cpu": []}}}}}),
            "spec.predictor.model.resources.limits[cpu]: must be an amount such as `500m`, `4` or `2Gi`; found a list",
        ),
        (
            json!({"predictor": {"autoScaling": {"metrics": [{"type": "Resource", "resource":
                {"name": "cpu", "target": {"value": 0.5}}}]}}}),
            "spec.predictor.autoScaling.metrics[0].resource.target.value: must be a whole number or text; found a \
             fraction (write it as text: \"0.5\")",
        ),
        (
            json!({"predictor": {"storageUris": []}}),
            "spec.predictor.storageUris: must have 1 items or more; found 0",
        ),
        (
            json!({"predictor": {"storageUris": [{"uri": "", "mountPath": "x"}]}}),
            "spec.predictor.storageUris[0].mountPath: must be a path that begins with `/`; found `x`",
        ),
        (
            json!({"predictor": {}, "canary": [{"predictor": {}, "trafficPercent": 101}]}),
            "spec.canary[0].trafficPercent: must be 0 to 100; found 101",
        ),
        (
            json!({"predictor": {}, "explainer": {"alibi": {}}}),
            "spec.explainer.alibi: is no known field (KServe no longer has it; run the explainer as `containers` of your own)",
        ),
        (
            json!({"predictor": {"volumes": [{"name": "v", "someNewSource": {}}]}}),
            "",
        ),
        (json!({"predictor": {"model": null, "minReplicas": null}}), ""),
    ];
    for (spec, expected) in cases {
        let found = check(Kind::InferenceService, &service(&spec));
        let first = found.first().map(String::as_str).unwrap_or_default();
        assert_eq!(first, expected, "{spec}");
    }
}

#[test]
fn messages_of_a_graph() {
    let graph =
        json!({"spec": {"nodes": {"root": {"routerType": "Sequenc", "steps": [{"dependency": "hard"}]}}}});
    assert_eq!(
        check(Kind::InferenceGraph, &graph),
        [
            "spec.nodes[root].routerType: must be one of Sequence, Splitter, Ensemble, Switch; found `Sequenc` (did you \
             mean `Sequence`?)",
            "spec.nodes[root].steps[0].dependency: must be one of Soft, Hard; found `hard` (did you mean `Hard`?)",
        ]
    );
}

#[test]
fn all_problems_are_found_at_once_and_are_bounded() {
    let spec = json!({"predictor": {"minReplicas": "a", "timeout": [], "loger": {}, "containers": [{}, 1]}});
    let found = schema::check(Kind::InferenceService, &service(&spec));
    let paths: Vec<&str> = found.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "spec.predictor.containers[0].name",
            "spec.predictor.containers[1]",
            "spec.predictor.loger",
            "spec.predictor.minReplicas",
            "spec.predictor.timeout"
        ]
    );
    let unknown = &found[2];
    assert_eq!(unknown.violation, Violation::Unknown);
    assert_eq!(unknown.hint.as_deref(), Some("did you mean `logger`?"));
    assert!(
        unknown.known.contains(&"batcher") && unknown.known.contains(&"hostPID"),
        "{:?}",
        unknown.known
    );

    let many: serde_json::Map<String, Value> = (0..1000).map(|i| (format!("field{i}"), json!(1))).collect();
    assert_eq!(
        schema::check(Kind::InferenceService, &service(&json!({"predictor": many}))).len(),
        100
    );
    assert!(!schema::check(Kind::Predictor, &Value::Null).is_empty());
}

/// Published manifests are fine, but for fields that KServe has dropped and for what would not have worked either.
#[test]
fn manifests_fit() {
    for manifest in manifests::all() {
        let kind = kind_of(&manifest.object);
        // Another schema, which KServe no longer has; and a fragment in a document about something else.
        let old = manifest.object["apiVersion"] == "serving.kserve.io/v1alpha2";
        if old || manifest.origin.contains("mm-docs-architecture-isolation") {
            continue;
        }
        let found = schema::check(kind, &manifest.object);
        let wrong: Vec<Problem> = found
            .into_iter()
            .filter(|problem| problem.violation != Violation::Unknown)
            .collect();
        assert_eq!(lines(&wrong), [""; 0], "{}", manifest.origin);
    }
}

/// Every field of our own manifests is known, but for those that are named so.
#[test]
fn fields_of_our_manifests_are_known() {
    for manifest in manifests::own() {
        for problem in schema::check(kind_of(&manifest.object), &manifest.object) {
            let name = problem.path.rsplit('.').next().unwrap_or_default();
            assert!(
                name.starts_with("future") || name == "alibi",
                "{}: {problem:?}",
                manifest.origin
            );
        }
    }
}

/// The schema as the other validator shall see it: what has a default is filled in before the API server validates, and
/// an amount is text or a number.
fn as_it_is_meant(schema: &mut Value) {
    if let Some(members) = schema.as_object_mut() {
        if members.contains_key("pattern") && !members.contains_key("type") && !members.contains_key("anyOf")
        {
            members.insert("type".to_owned(), json!(["string", "number"]));
        }
        let with_default: Vec<Value> = members
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter(|(_, member)| member.get("default").is_some())
            .map(|(name, _)| json!(name))
            .collect();
        if let Some(required) = members.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|name| !with_default.contains(name));
        }
        members.values_mut().for_each(as_it_is_meant);
    }
}

/// Walks down by `steps` (each modulo what is there) and replaces or removes what stands there.
fn mutate(value: &mut Value, steps: &[usize], junk: Option<&Value>) {
    let Some((step, rest)) = steps.split_first() else {
        *value = junk.cloned().unwrap_or(Value::Null);
        return;
    };
    match value {
        Value::Object(members) if !members.is_empty() => {
            let key = members
                .keys()
                .nth(step % members.len())
                .cloned()
                .expect("in range");
            if rest.is_empty() && junk.is_none() {
                members.remove(&key);
            } else if let Some(member) = members.get_mut(&key) {
                mutate(member, rest, junk);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let index = step % items.len();
            mutate(&mut items[index], rest, junk);
        }
        other => *other = junk.cloned().unwrap_or(Value::Null),
    }
}

#[test]
fn agrees_with_another_validator() {
    let manifests = manifests::all();
    let validators: Vec<(Kind, jsonschema::Validator)> = Kind::ALL
        .into_iter()
        .map(|kind| {
            let mut schema = schema::of(kind).clone();
            as_it_is_meant(&mut schema);
            (
                kind,
                jsonschema::draft202012::new(&schema).expect("valid JSON schema"),
            )
        })
        .collect();
    let junk = prop_oneof![
        Just(None),
        prop_oneof![
            Just(json!("")),
            Just(json!("text")),
            Just(json!("Upper")),
            Just(json!("1Gi")),
            Just(json!(0)),
            Just(json!(-1)),
            Just(json!(101)),
            Just(json!(0.5)),
            Just(json!(true)),
            Just(json!([])),
            Just(json!({})),
            Just(json!([{"name": "a"}])),
            Just(json!({"name": "cpu"})),
        ]
        .prop_map(Some),
    ];
    let strategy = (
        0..manifests.len(),
        prop::collection::vec(any::<usize>(), 1..9),
        junk,
    );
    proptest!(ProptestConfig::with_cases(2000), |((index, steps, junk) in strategy)| {
        let mut object = manifests[index].object.clone();
        let kind = kind_of(&object);
        mutate(&mut object, &steps, junk.as_ref());
        let object = without_nulls(&object);
        let (_, validator) = validators.iter().find(|(of, _)| *of == kind).expect("every kind");
        let ours: Vec<Problem> = schema::check(kind, &object)
            .into_iter()
            .filter(|problem| !matches!(problem.violation, Violation::Unknown | Violation::Duplicate))
            .collect();
        let errors = || validator.iter_errors(&object).map(|error| error.to_string()).collect::<Vec<_>>();
        prop_assert_eq!(ours.is_empty(), validator.is_valid(&object), "{}: {:?} {:?}", object, ours, errors());
    });
}

/// Every pattern of a schema is one that the check knows; another would be passed over.
#[test]
fn every_pattern_is_checked() {
    fn patterns(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(members) => {
                found.extend(members.get("pattern").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| patterns(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| patterns(item, found)),
            _ => {}
        }
    }
    for kind in Kind::ALL {
        let mut found = Vec::new();
        patterns(schema::of(kind), &mut found);
        for pattern in found {
            assert!(schema::knows_pattern(&pattern), "{}: {pattern}", kind.name());
        }
    }
}
