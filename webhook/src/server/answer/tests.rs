use serde_json::{Value, json};

use super::*;
use crate::server::{paths::ENDPOINTS, wire::Review};

fn endpoint(path: &str) -> &'static Endpoint {
    ENDPOINTS
        .iter()
        .find(|endpoint| endpoint.path == path)
        .unwrap_or_else(|| panic!("no {path}"))
}

const MUTATE: &str = "/mutate-serving-kserve-io-v1beta1-inferenceservice";
const VALIDATE: &str = "/validate-serving-kserve-io-v1beta1-inferenceservice";

fn service(predictor: &Value) -> Value {
    json!({
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "iris", "namespace": "ns"},
        "spec": {"predictor": predictor},
    })
}

fn request(operation: &str, object: &Value) -> Value {
    json!({
        "uid": "u",
        "kind": {"group": "serving.kserve.io", "version": "v1beta1", "kind": "InferenceService"},
        "operation": operation,
        "name": "iris",
        "namespace": "ns",
        "object": object,
    })
}

fn ask(path: &str, request: &Value) -> Outcome {
    let text = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    let text = text.to_string();
    let review = Review::parse(text.as_bytes()).unwrap();
    answer(
        endpoint(path),
        &review.request,
        &Snapshot::default(),
        &Options::default(),
    )
}

#[test]
fn defaulting_is_a_patch() {
    let object = service(&json!({"sklearn": {"storageUri": "s3://b/iris"}}));
    let outcome = ask(MUTATE, &request("CREATE", &object));
    assert!(outcome.response.allowed);
    assert!(outcome.response.patch.is_some_and(|patch| !patch.is_empty()));
    assert_eq!(ask(MUTATE, &request("DELETE", &object)).response.patch, None);
}

#[test]
fn a_denial_lists_every_problem() {
    let object = service(&json!({"minReplicas": -1, "containerConcurrency": -1}));
    let outcome = ask(VALIDATE, &request("CREATE", &object));
    assert_eq!(outcome.verdict, Verdict::Denied);
    let status = outcome.response.status.unwrap();
    assert_eq!((status.code, status.reason), (403, "Forbidden"));
    let details = status.details.unwrap();
    assert_eq!(
        (details.kind.as_str(), details.name.as_str()),
        ("InferenceService", "iris")
    );
    assert!(details.causes.len() > 1, "{details:?}");
    for cause in &details.causes {
        assert!(status.message.contains(&cause.field) && status.message.contains(cause.reason));
        assert!(outcome.response.audit_annotations["denied-by"].contains(cause.reason));
    }
    assert_eq!(outcome.response.audit_annotations["mode"], "compat");
}

#[test]
fn what_is_not_about_the_object_passes() {
    let bad = service(&json!({}));
    let mut status = request("UPDATE", &bad);
    status["subResource"] = "status".into();
    assert_eq!(ask(VALIDATE, &status).verdict, Verdict::Allowed);
    assert_eq!(ask(VALIDATE, &request("CONNECT", &bad)).verdict, Verdict::Allowed);
}

#[test]
fn a_wrong_configuration_is_told_as_such() {
    let mut pod = request("CREATE", &json!({}));
    pod["kind"] = json!({"group": "", "version": "v1", "kind": "Pod"});
    let outcome = ask(VALIDATE, &pod);
    let status = outcome.response.status.unwrap();
    assert_eq!((outcome.verdict, status.code), (Verdict::Refused, 400));
    assert!(status.message.contains("v1 Pod") && status.message.contains("webhook configuration"));

    let mut later = request("CREATE", &json!({}));
    later["kind"]["version"] = "v2".into();
    let status = ask(VALIDATE, &later).response.status.unwrap();
    assert!(
        status.message.contains("serving.kserve.io/v2 InferenceService"),
        "{}",
        status.message
    );

    let status = ask(VALIDATE, &request("PATCH", &json!({})))
        .response
        .status
        .unwrap();
    assert!(status.message.contains("PATCH"), "{}", status.message);
}

#[test]
fn a_rule_that_panics_denies_its_review_and_no_other() {
    let object = service(&json!({"model": {"modelFormat": {"name": "sklearn"}}}));
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": request("CREATE", &object),
    })
    .to_string();
    let review = Review::parse(review.as_bytes()).unwrap();
    for path in [MUTATE, VALIDATE] {
        let broken = |_: &Request<'_>| panic!("a rule is broken");
        let outcome = answer_by(broken, endpoint(path), &review.request, &Options::default());
        assert_eq!((outcome.verdict, outcome.rules.len()), (Verdict::Failed, 0));
        assert!(!outcome.response.allowed && outcome.response.patch.is_none());
        let status = outcome.response.status.unwrap();
        assert_eq!((status.code, status.reason), (500, "InternalError"));
        assert!(
            status.message.contains("a bug of stowage-webhook"),
            "{}",
            status.message
        );
        assert!(!status.message.contains("a rule is broken"), "{}", status.message);
        assert!(ask(path, &request("CREATE", &object)).response.allowed);
    }
}

#[test]
fn an_object_that_cannot_be_read_is_refused() {
    let mut deep = json!(1);
    for _ in 0..200 {
        deep = json!([deep]);
    }
    let object = json!({"a": 1}).to_string();
    let text = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": request("CREATE", &json!({"a": 1})),
    })
    .to_string()
    .replace(&object, &deep.to_string());
    let review = Review::parse(text.as_bytes()).unwrap();
    let outcome = answer(
        endpoint(VALIDATE),
        &review.request,
        &Snapshot::default(),
        &Options::default(),
    );
    assert_eq!(outcome.verdict, Verdict::Refused);
    let status = outcome.response.status.unwrap();
    assert!(
        status.message.contains("`request.object` cannot be read"),
        "{}",
        status.message
    );
}

#[test]
fn a_probe_is_answered_with_its_word() {
    let mut object = service(&json!({"model": {"modelFormat": {"name": "sklearn"}}}));
    object["metadata"]["annotations"] = json!({PROBE: "abc"});
    let status = ask(VALIDATE, &request("CREATE", &object))
        .response
        .status
        .unwrap();
    assert!(status.message.contains("abc"));
    assert!(ask(MUTATE, &request("CREATE", &object)).response.allowed);
}
