#![expect(
    clippy::needless_pass_by_value,
    reason = "calls read better with `json!` in place"
)]

use serde_json::json;

use super::*;
use crate::patch::apply;

fn request(object: &Value) -> Request<'_> {
    Request {
        operation: Operation::Create,
        kind: Kind::InferenceService,
        namespace: "default",
        name: "",
        object: Some(object),
        old: None,
    }
}

pub(super) fn service(predictor: Value, annotations: Value) -> Value {
    json!({
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "iris", "annotations": annotations},
        "spec": {"predictor": predictor},
    })
}

fn patch(object: &Value, config: Config) -> Value {
    let mut snapshot = Snapshot::synced();
    snapshot.set_config(config);
    serde_json::to_value(default(&request(object), &snapshot, &Options::default()).patch)
        .expect("patches are JSON")
}

#[test]
fn a_patch_has_only_what_changes() {
    let object = service(
        json!({"model": {"modelFormat": {"name": "sklearn"}}}),
        json!({"modelFormat": "sklearn"}),
    );
    assert_eq!(patch(&object, Config::default()), json!([]));

    let object = service(json!({"onnx": {"storageUri": "s3://b/m"}}), json!({"team": "a"}));
    let expected = json!([
        {"op": "remove", "path": "/spec/predictor/onnx"},
        {"op": "add", "path": "/spec/predictor/model", "value": {
            "modelFormat": {"name": "onnx"}, "protocolVersion": "v2", "storageUri": "s3://b/m",
        }},
        {"op": "add", "path": "/metadata/annotations/modelFormat", "value": "onnx"},
    ]);
    assert_eq!(patch(&object, Config::default()), expected);
}

#[test]
fn old_mode_names_are_replaced_and_other_defaults_than_knative_are_written() {
    let model = json!({"model": {}});
    let config = |mode| Config {
        default_deployment_mode: mode,
        ..Config::default()
    };
    let op = |name: &str, value: &str| json!([{"op": name, "path": "/metadata/annotations/serving.kserve.io~1deploymentMode", "value": value}]);
    for (annotations, default, expected) in [
        (
            json!({names::DEPLOYMENT_MODE: "RawDeployment"}),
            DeploymentMode::Knative,
            op("replace", "Standard"),
        ),
        (
            json!({names::DEPLOYMENT_MODE: "Serverless"}),
            DeploymentMode::Standard,
            op("replace", "Knative"),
        ),
        (
            json!({"a": "b"}),
            DeploymentMode::ModelMesh,
            op("add", "ModelMesh"),
        ),
        (json!({"a": "b"}), DeploymentMode::Knative, json!([])),
        (
            json!({names::DEPLOYMENT_MODE: "Other"}),
            DeploymentMode::Standard,
            json!([]),
        ),
    ] {
        assert_eq!(
            patch(&service(model.clone(), annotations), config(default)),
            expected
        );
    }
}

#[test]
fn custom_containers_are_named_and_get_what_they_leave_out() {
    let containers = json!([{"resources": {"requests": {"cpu": "3"}}}, {"name": "other"}]);
    let mut object = service(json!({"containers": containers}), json!({}));
    let config = Config {
        automount_token: false,
        ..Config::default()
    };
    let operations: Vec<PatchOperation> =
        serde_json::from_value::<Vec<Value>>(patch(&object, config.clone()))
            .expect("a list")
            .iter()
            .map(read)
            .collect();
    apply(&mut object, &operations).expect("the patch applies");
    assert_eq!(
        object["spec"]["predictor"],
        json!({
            "automountServiceAccountToken": false,
            "containers": [
                {"name": "kserve-container", "resources": {
                    "requests": {"cpu": "3", "memory": "2Gi"}, "limits": {"cpu": "1", "memory": "2Gi"},
                }},
                {"name": "other"},
            ],
        })
    );
    assert_eq!(
        patch(&object, config),
        json!([]),
        "defaulting again changes nothing"
    );
}

fn read(operation: &Value) -> PatchOperation {
    let path = operation["path"].as_str().expect("a path").to_owned();
    let value = operation["value"].clone();
    match operation["op"].as_str() {
        Some("add") => PatchOperation::Add { path, value },
        Some("replace") => PatchOperation::Replace { path, value },
        _ => PatchOperation::Remove { path },
    }
}

#[test]
fn labels_of_a_cache_come_and_go() {
    let cache = |kind: &str, name: &str, source: &str, groups: Value| {
        json!({"kind": kind, "metadata": {"name": name, "namespace": "default"},
               "spec": {"sourceModelUri": source, "nodeGroups": groups}})
    };
    let mut snapshot = Snapshot::synced();
    snapshot.set_config(Config {
        local_model: true,
        ..Config::default()
    });
    for object in [
        cache("LocalModelCache", "a", "gs://b/m", json!(["g1", "g2"])),
        cache("LocalModelNamespaceCache", "n", "gs://b/other/", json!(["g3"])),
    ] {
        snapshot.observe(&object, "default").expect("no config");
    }
    let labeled = |uri: &str, annotations: Value| {
        let mut object = service(json!({"model": {"storageUri": uri}}), annotations);
        let outcome = default(&request(&object), &snapshot, &Options::default());
        apply(&mut object, &outcome.patch).expect("the patch applies");
        let metadata = &object["metadata"];
        (
            metadata["labels"].clone(),
            metadata["annotations"][names::LOCAL_MODEL_PVC_NAME].clone(),
        )
    };
    assert_eq!(
        labeled("gs://b/m/v1", json!({})),
        (json!({names::LOCAL_MODEL: "a"}), json!("a-g1"))
    );
    assert_eq!(
        labeled("gs://b/m/", json!({names::NODE_GROUP: "g2"})).1,
        json!("a-g2")
    );
    assert_eq!(
        labeled("gs://b/m", json!({names::NODE_GROUP: "g9"})).0,
        Value::Null
    );
    assert_eq!(
        labeled("gs://b/m2", json!({names::LOCAL_MODEL_PVC_NAME: "a-g1"})),
        (Value::Null, Value::Null)
    );
    let own = labeled("gs://b/other", json!({})).0;
    assert_eq!(
        own,
        json!({names::LOCAL_MODEL: "n", names::LOCAL_MODEL_NAMESPACE: "default"})
    );
    assert_eq!(
        labeled("gs://b/m", json!({names::DISABLE_LOCAL_MODEL: ""})).0,
        Value::Null
    );
}

#[test]
fn what_cannot_be_decoded_stays_as_it_is() {
    for object in [
        json!(null),
        json!([]),
        json!({"spec": {"predictor": {"sklearn": {}}}}),
        json!({"metadata": {"annotations": {"a": 1}}, "spec": {"predictor": {"sklearn": {}}}}),
        json!({"metadata": {}, "spec": {"predictor": "sklearn"}}),
    ] {
        assert_eq!(patch(&object, Config::default()), json!([]), "{object}");
    }
}
