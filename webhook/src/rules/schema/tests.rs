//! What the schema rules say, and that they agree with a validator that others wrote.

#![expect(
    clippy::needless_pass_by_value,
    reason = "calls read better with `json!` in place"
)]

use std::{fs, path::Path};

use api::resources::crd;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Finding, Operation, Options, Request, Snapshot};

/// What these rules alone find.
fn found(kind: Kind, object: &Value) -> Vec<Finding> {
    let (snapshot, options) = (Snapshot::default(), Options::default());
    let review = Review {
        request: Request {
            operation: Operation::Create,
            kind,
            namespace: "default",
            name: "",
            object: Some(object),
            old: None,
        },
        root: object,
        snapshot: &snapshot,
        options: &options,
    };
    let mut out = Findings::new(review);
    check(review, &mut out);
    out.list
}

fn lines(kind: Kind, spec: Value) -> Vec<String> {
    let object = json!({
        "apiVersion": kind.api_version(), "kind": kind.name(), "metadata": {"name": "m"}, "spec": spec,
    });
    let found = found(kind, &object);
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn messages() {
    for (predictor, expected) in [
        (
            json!([]),
            "spec.predictor: must be an object; found a list [OB-S01]",
        ),
        (
            json!({"minReplicas": "1"}),
            "spec.predictor.minReplicas: must be a whole number; found the text `1`; leave the quotes out [OB-S01]",
        ),
        (
            json!({"timeout": 1.5}),
            "spec.predictor.timeout: must be a whole number; found `1.5` [OB-S01]",
        ),
        (
            json!({"minReplicas": 3_000_000_000_i64}),
            "spec.predictor.minReplicas: must be a whole number from -2147483648 to 2147483647; found `3000000000` [OB-S01]",
        ),
        (
            json!({"hostIPC": "true"}),
            "spec.predictor.hostIPC: must be true or false; found the text `true`; leave the quotes out [OB-S01]",
        ),
        (
            json!({"scaleMetric": "cpus"}),
            "spec.predictor.scaleMetric: must be `cpu`, `memory`, `concurrency` or `rps`; found `cpus`; did you mean \
             `cpu`? [OB-S04]",
        ),
        (
            json!({"scaleMetric": ""}),
            "spec.predictor.scaleMetric: must be `cpu`, `memory`, `concurrency` or `rps`; found an empty text [OB-S04]",
        ),
        (
            json!({"name": "Stable"}),
            "spec.predictor.name: must be lower-case letters, digits and `-`, starting with a letter and ending with a \
             letter or digit; found `Stable` [OB-S04]",
        ),
        (
            json!({"model": {"storageURI": "s3://b/m"}}),
            "spec.predictor.model.storageURI: `storageURI` is no field; case matters; write `storageUri` [OB-S02]",
        ),
        (
            json!({"model": {"storageUir": "s3://b/m"}}),
            "spec.predictor.model.storageUir: `storageUir` is no field here and is ignored; did you mean `storageUri`? \
             [OB-S03]",
        ),
        (
            json!({"model": {"modelFormat": {}}}),
            "spec.predictor.model.modelFormat.name: `name` is required [OB-S04]",
        ),
        // A number in the place of a text may be a password.
        (
            json!({"model": {"env": [{"name": "A", "value": 1234}]}}),
            "spec.predictor.model.env[0].value: must be text; found a number; put it in quotes [OB-S01]",
        ),
        (
            json!({"model": {"env": [{"name": "A"}, {"name": "B"}, {"name": "A"}]}}),
            "spec.predictor.model.env[2]: has the same `name` as entry 0; each may be there once [OB-S04]",
        ),
        (
            json!({"model": {"ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80}]}}),
            "spec.predictor.model.ports[1]: has the same `containerPort` and `protocol` as entry 0; each may be there once \
             [OB-S04]",
        ),
        (
            json!({"model": {"args": "--port=80"}}),
            "spec.predictor.model.args: must be a list; found text; begin each entry with `- ` [OB-S01]",
        ),
        (
            json!({"containers": [{"name": "c"}, null]}),
            "spec.predictor.containers[1]: must be an object; found an empty entry [OB-S04]",
        ),
        (
            json!({"model": {"resources": {"limits": {"memory": "2 Gi"}}}}),
            "spec.predictor.model.resources.limits.memory: must be a quantity such as `500m`, `4` or `2Gi`; found the \
             text `2 Gi` [OB-S01]",
        ),
        (json!({"model": {"resources": {"limits": {"cpu": 0.5}}}}), ""),
        (
            json!({"autoScaling": {"metrics": [{"type": "Resource", "resource":
                {"name": "cpu", "target": {"type": "Value", "value": 0.5}}}]}}),
            "spec.predictor.autoScaling.metrics[0].resource.target.value: must be a whole number or text; found `0.5`; \
             write it as text: \"0.5\" [OB-S04]",
        ),
        (json!({"volumes": [{"name": "v", "someNewSource": {}}]}), ""),
        (json!({"model": null, "minReplicas": null}), ""),
    ] {
        says(predictor, expected);
    }
}

#[test]
fn messages_about_bounds() {
    for (predictor, expected) in [
        (
            json!({"storageUris": []}),
            "spec.predictor.storageUris: must have at least 1 entry; found 0 [OB-S04]",
        ),
        (
            json!({"storageUris": [{"uri": "", "mountPath": "/x"}]}),
            "spec.predictor.storageUris[0].uri: must not be empty [OB-S04]",
        ),
        (
            json!({"storageUris": [{"uri": "s3://b", "mountPath": "x"}]}),
            "spec.predictor.storageUris[0].mountPath: must be a path that starts with `/`; found `x` [OB-S04]",
        ),
    ] {
        says(predictor, expected);
    }
}

/// Holds the first finding about a predictor, or none.
fn says(predictor: Value, expected: &str) {
    let found = lines(Kind::InferenceService, json!({"predictor": predictor}));
    let first = found.first().map(String::as_str).unwrap_or_default();
    assert_eq!(first, expected, "{predictor}");
}

#[test]
fn messages_of_other_fields_and_kinds() {
    let service = |spec: Value| lines(Kind::InferenceService, spec);
    assert_eq!(
        service(json!({})),
        ["spec.predictor: `predictor` is required [OB-S04]"]
    );
    assert_eq!(
        service(json!({"predictor": {}, "canary": [{"predictor": {}, "trafficPercent": 101}]})),
        ["spec.canary[0].trafficPercent: must be from 0 to 100; found 101 [OB-S04]"]
    );
    assert_eq!(
        service(json!({"predictor": {}, "explainer": {"alibi": {}}})),
        [
            "spec.explainer.alibi: `alibi` is no field here and is ignored; it is gone; run the explainer as `containers` of \
          your own [OB-S03]"
        ]
    );
    let graph = json!({"nodes": {"root": {"routerType": "Sequenc", "steps": [{"dependency": "hard"}]}}});
    assert_eq!(
        lines(Kind::InferenceGraph, graph),
        [
            "spec.nodes.root.routerType: must be `Sequence`, `Splitter`, `Ensemble` or `Switch`; found `Sequenc`; did you \
             mean `Sequence`? [OB-S04]",
            "spec.nodes.root.steps[0].dependency: must be `Soft` or `Hard`; found `hard`; did you mean `Hard`? [OB-S04]",
        ]
    );
}

/// Objects of every kind: one that each rule is content with, and the manifests that the types are tested with.
fn objects() -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read =
        |path: &Path| fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    let cases = read(&root.join("tests/every_rule.jsonl"));
    let mut objects: Vec<Value> = cases
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a case is JSON")["good"].take())
        .collect();
    for file in fs::read_dir(root.join("../api/tests/manifests")).expect("the folder is in the repository") {
        let text = read(&file.expect("the folder can be read").path());
        objects.extend(serde_saphyr::from_multiple::<Value>(&text).expect("manifests are YAML"));
    }
    objects.retain(|object| !object.is_null());
    objects
}

fn kind_of(object: &Value) -> Kind {
    let name = object["kind"].as_str().unwrap_or_default();
    Kind::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
        .unwrap_or_else(|| panic!("{name} is none of our kinds"))
}

/// The same without `null` members, which mean absent.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(_, member)| !member.is_null())
            .map(|(key, member)| (key.clone(), without_nulls(member)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
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

/// Types, sets, bounds, patterns and what is required. Other validators know nothing of fields that nobody knows and of
/// lists with keys, and definitions say nothing of metadata.
fn is_of_any_validator(finding: &Finding) -> bool {
    let known = std::ptr::eq(finding.rule, &raw const TYPE) || std::ptr::eq(finding.rule, &raw const SCHEMA);
    let of_definition = !finding.field.to_string().starts_with("metadata");
    known && of_definition && !finding.message.starts_with("has the same")
}

#[test]
fn agrees_with_another_validator() {
    let objects = objects();
    let validators: Vec<(Kind, jsonschema::Validator)> = Kind::ALL
        .into_iter()
        .map(|kind| {
            let mut schema = crd::schema(kind);
            for not_ours in ["metadata", "status"] {
                schema["properties"][not_ours] = json!({});
            }
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
        0..objects.len(),
        prop::collection::vec(any::<usize>(), 1..9),
        junk,
    );
    proptest!(ProptestConfig::with_cases(2000), |((index, steps, junk) in strategy)| {
        let mut object = objects[index].clone();
        let kind = kind_of(&object);
        mutate(&mut object, &steps, junk.as_ref());
        let object = without_nulls(&object);
        let (_, validator) = validators.iter().find(|(of, _)| *of == kind).expect("every kind");
        let ours: Vec<Finding> = found(kind, &object).into_iter().filter(is_of_any_validator).collect();
        let errors = || validator.iter_errors(&object).map(|error| error.to_string()).collect::<Vec<_>>();
        prop_assert_eq!(ours.is_empty(), validator.is_valid(&object), "{}: {:?} {:?}", object, ours, errors());
    });
}
