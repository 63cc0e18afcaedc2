//! Objects for tests, and asking the library about them.

use serde_json::{Value, json};
use webhook::{
    Defaulted, Finding, Kind, Mode, Operation, Options, Request, Snapshot, default, patch, validate,
};

/// An `InferenceService` called `iris` in `default`.
pub(crate) fn service(spec: Value) -> Value {
    object(Kind::InferenceService, "iris", spec)
}

/// One with a model of this shape.
pub(crate) fn model(model: Value) -> Value {
    service(json!({"predictor": {"model": model}}))
}

/// A model that nothing is wrong with, plus members of the predictor.
pub(crate) fn predictor(more: Value) -> Value {
    let mut predictor =
        json!({"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://bucket/iris"}});
    merge(&mut predictor, more);
    service(json!({"predictor": predictor}))
}

/// The object with annotations.
pub(crate) fn annotated(mut object: Value, annotations: &[(&str, &str)]) -> Value {
    for (key, value) in annotations {
        object["metadata"]["annotations"][*key] = json!(value);
    }
    object
}

pub(crate) fn standard(object: Value) -> Value {
    annotated(object, &[("serving.kserve.io/deploymentMode", "Standard")])
}

pub(crate) fn mesh(object: Value) -> Value {
    annotated(object, &[("serving.kserve.io/deploymentMode", "ModelMesh")])
}

pub(crate) fn named(mut object: Value, name: &str) -> Value {
    object["metadata"]["name"] = json!(name);
    object
}

pub(crate) fn object(kind: Kind, name: &str, spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        "metadata": {"name": name},
        "spec": spec,
    });
    if kind.namespaced() {
        object["metadata"]["namespace"] = json!("default");
    }
    object
}

/// Sets members of an object, and of objects in it.
pub(crate) fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

pub(crate) fn kind_of(object: &Value) -> Kind {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    Kind::of(text("apiVersion"), text("kind")).unwrap_or(Kind::InferenceService)
}

pub(crate) fn request<'a>(kind: Kind, object: &'a Value, old: Option<&'a Value>) -> Request<'a> {
    let operation = if old.is_some() {
        Operation::Update
    } else {
        Operation::Create
    };
    Request {
        operation,
        kind,
        namespace: "default",
        name: "",
        object: Some(object),
        old,
    }
}

pub(crate) fn options(mode: Mode) -> Options {
    Options {
        mode,
        ..Options::default()
    }
}

/// What is found on creation.
pub(crate) fn findings(object: &Value, snapshot: &Snapshot, mode: Mode) -> Vec<Finding> {
    validate(&request(kind_of(object), object, None), snapshot, &options(mode))
}

/// Whether the findings let the object pass.
pub(crate) fn passes(findings: &[Finding]) -> bool {
    !findings.iter().any(Finding::denies)
}

/// The findings as lines, for messages of failing tests.
pub(crate) fn lines(findings: &[Finding]) -> String {
    findings.iter().fold(String::new(), |lines, finding| {
        lines + &format!("\n    {} {finding}", finding.severity)
    })
}

/// Defaulting and then validation, as the API server does it.
pub(crate) struct Reviewed {
    pub(crate) defaulted: Value,
    pub(crate) findings: Vec<Finding>,
}

pub(crate) fn review(request: &Request<'_>, snapshot: &Snapshot, options: &Options) -> Reviewed {
    let Defaulted {
        patch: operations,
        mut findings,
    } = default(request, snapshot, options);
    let mut defaulted = request.object.cloned().unwrap_or_default();
    patch::apply(&mut defaulted, &operations).expect("a patch applies to the object that it was made for");
    findings.extend(validate(
        &Request {
            object: Some(&defaulted),
            ..*request
        },
        snapshot,
        options,
    ));
    Reviewed { defaulted, findings }
}
