//! What holds for every object, good, bad or absurd.

use proptest::prelude::*;
use serde_json::{Value, json};
use webhook::{Finding, Kind, Mode, Operation, Options, Request, Snapshot, default, patch, validate};

use crate::{
    every_rule::cases,
    objects::{kind_of, options},
    shipped::cluster,
};

/// Words that rules look for, so that arbitrary objects come near them.
const WORDS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "namespace",
    "annotations",
    "labels",
    "spec",
    "predictor",
    "model",
    "modelFormat",
    "sklearn",
    "onnx",
    "triton",
    "containers",
    "env",
    "resources",
    "limits",
    "requests",
    "cpu",
    "storageUri",
    "storageUris",
    "mountPath",
    "uri",
    "workerSpec",
    "canary",
    "transformer",
    "explainer",
    "art",
    "nodes",
    "root",
    "steps",
    "nodeName",
    "supportedModelFormats",
    "priority",
    "multiModel",
    "builtInAdapter",
    "status",
    "autoScaling",
    "metrics",
    "serving.kserve.io/deploymentMode",
    "serving.kserve.io/gpu-resource-types",
    "storage",
    "parameters",
    "protocolVersion",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(WORDS).prop_map(str::to_owned),
        1 => prop::sample::select(&["//", "", "é", "{{", "pvc://", "unix:", "port:99999", "-1", "1e999", "\u{17f}"][..])
            .prop_map(str::to_owned),
        1 => ".{0,6}",
    ]
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        text().prop_map(Value::String),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((text(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A change somewhere in an object that began as one of the cases.
fn edit(object: &mut Value, way: &[usize], value: Value) {
    let Some((first, rest)) = way.split_first() else {
        *object = value;
        return;
    };
    match object {
        Value::Object(members) if !members.is_empty() => {
            let position = first % members.len();
            if let Some(member) = members.values_mut().nth(position) {
                edit(member, rest, value);
            }
        }
        Value::Array(elements) if !elements.is_empty() => {
            let position = first % elements.len();
            edit(&mut elements[position], rest, value);
        }
        other => *other = value,
    }
}

fn told(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

/// Everything that holds for one object.
fn holds(
    kind: Kind,
    object: &Value,
    old: Option<&Value>,
    snapshot: &Snapshot,
    options: &Options,
) -> Result<(), TestCaseError> {
    for operation in [Operation::Create, Operation::Update, Operation::Delete] {
        let request = Request {
            operation,
            kind,
            namespace: "default",
            name: "iris",
            object: Some(object),
            old,
        };
        let once = default(&request, snapshot, options);
        let mut defaulted = object.clone();
        prop_assert!(
            patch::apply(&mut defaulted, &once.patch).is_ok(),
            "the patch does not apply: {:?}",
            once.patch
        );
        let again = Request {
            object: Some(&defaulted),
            ..request
        };
        let twice = default(&again, snapshot, options);
        prop_assert_eq!(&twice.patch, &[], "defaulting again changes something");
        let found = validate(&again, snapshot, options);
        prop_assert_eq!(told(&found), told(&validate(&again, snapshot, options)));
        prop_assert!(
            found.len() <= 21 * webhook::RULES.len(),
            "{} findings",
            found.len()
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_json_is_answered(object in anything(), old in anything(), kind in prop::sample::select(&Kind::ALL[..])) {
        let mut whole = object.clone();
        if whole.is_object() {
            whole["apiVersion"] = json!(kind.api_version());
            whole["kind"] = json!(kind.name());
        }
        let snapshot = cluster();
        for object in [&object, &whole] {
            holds(kind, object, Some(&old), &snapshot, &options(Mode::Strict))?;
        }
    }

    #[test]
    fn real_objects_with_a_change_are_answered(
        pick in any::<prop::sample::Index>(),
        good in any::<bool>(),
        way in prop::collection::vec(0_usize..16, 1..8),
        value in anything(),
    ) {
        let cases = cases();
        let case = &cases[pick.index(cases.len())];
        let kind = kind_of(&case.bad);
        let old = if good { &case.good } else { &case.bad };
        let mut object = old.clone();
        edit(&mut object, &way, value);
        holds(kind, &object, Some(old), case.snapshot(), &Options::default())?;
    }
}

#[test]
fn every_case_is_defaulted_once() {
    for case in cases() {
        for object in [&case.bad, &case.good] {
            holds(
                kind_of(object),
                object,
                case.old.as_ref(),
                case.snapshot(),
                &Options::default(),
            )
            .unwrap_or_else(|err| panic!("{}: {err}", case.rule));
        }
    }
}

/// Long lists and names of one kind after the other, each about as large as the API server takes.
#[test]
fn huge_objects_are_answered_with_a_bounded_number_of_findings() {
    let entries = 20_000;
    let list = |make: &dyn Fn(usize) -> Value| Value::Array((0..entries).map(make).collect());
    let nodes: serde_json::Map<String, Value> = (0..entries)
        .map(|n| {
            (
                format!("n{n}"),
                json!({"steps": [{"nodeName": format!("n{}", (n + 1) % entries)}]}),
            )
        })
        .collect();
    let formats = list(&|n| json!({"name": "onnx", "autoSelect": true, "priority": n + 1}));
    let unknown: serde_json::Map<String, Value> =
        (0..entries).map(|n| (format!("field{n}"), json!(n))).collect();
    let whole = |kind: Kind, spec: Value| crate::objects::object(kind, "huge", spec);
    for object in [
        whole(Kind::InferenceGraph, json!({"nodes": nodes})),
        whole(Kind::ServingRuntime, json!({"supportedModelFormats": formats})),
        whole(
            Kind::ServingRuntime,
            json!({"containers": list(&|n| json!({"name": format!("c{n}")}))}),
        ),
        whole(Kind::InferenceService, json!({"predictor": unknown})),
        whole(
            Kind::InferenceService,
            json!({"predictor": {"storageUris": list(&|n| json!({"uri": "pvc://c", "mountPath": format!("/{n}")}))}}),
        ),
    ] {
        let found = crate::objects::findings(&object, &cluster(), Mode::Compat);
        assert!(!found.is_empty() && found.len() <= 84, "{} findings", found.len());
    }
}
