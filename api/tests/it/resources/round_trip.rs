//! What is decoded and encoded again is what was there: nothing lost, nothing added.

use api::resources::{
    ClusterServingRuntime, ClusterStorageContainer, InferenceGraph, InferenceService, LocalModelCache,
    LocalModelNamespaceCache, Predictor, ServingRuntime, TrainedModel,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::manifests;

fn through<T: DeserializeOwned + Serialize>(object: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<T>(object.clone())?)
}

fn round_trip(kind: &str, object: &Value) -> Result<Value, serde_json::Error> {
    match kind {
        "InferenceService" => through::<InferenceService>(object),
        "ServingRuntime" => through::<ServingRuntime>(object),
        "ClusterServingRuntime" => through::<ClusterServingRuntime>(object),
        "Predictor" => through::<Predictor>(object),
        "TrainedModel" => through::<TrainedModel>(object),
        "InferenceGraph" => through::<InferenceGraph>(object),
        "LocalModelCache" => through::<LocalModelCache>(object),
        "LocalModelNamespaceCache" => through::<LocalModelNamespaceCache>(object),
        "ClusterStorageContainer" => through::<ClusterStorageContainer>(object),
        other => panic!("{other} is none of our kinds"),
    }
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

#[test]
fn no_manifest_loses_or_gains_a_field() {
    for manifest in manifests::all() {
        let mut expected = without_nulls(&manifest.object);
        let written = round_trip(manifest.kind(), &manifest.object)
            .unwrap_or_else(|err| panic!("{}: {err}", manifest.origin));
        // Older groups and versions are in the corpus; what a type writes is its own.
        expected["apiVersion"] = written["apiVersion"].clone();
        assert_eq!(written, expected, "{}", manifest.origin);
    }
}

#[test]
fn absent_empty_and_zero_stay_apart() {
    let object = json!({
        "apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "m"},
        "spec": {
            "predictor": {
                "minReplicas": 0, "containers": [], "nodeSelector": {}, "storageUris": [], "serviceAccountName": "",
                "model": {"modelFormat": {"name": ""}, "name": "", "resources": {}, "env": []},
            },
        },
        "status": {},
    });
    assert_eq!(round_trip("InferenceService", &object).expect("decodes"), object);
}

#[test]
fn null_is_absent_wherever_go_has_a_pointer_list_or_map() {
    let object = json!({
        "apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService",
        "metadata": {"name": "m", "creationTimestamp": null, "labels": null},
        "spec": {
            "transformer": null,
            "predictor": {
                "sklearn": null, "minReplicas": null, "containers": null, "labels": null, "logger": null,
                "model": {"env": null, "resources": {"limits": null}, "storage": null, "storageUri": null},
            },
        },
        "status": null,
    });
    let written = round_trip("InferenceService", &object).expect("decodes");
    assert_eq!(written, without_nulls(&object));
    let empty = json!({"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {}, "spec": {"predictor": null}});
    let service: InferenceService = serde_json::from_value(empty).expect("decodes");
    assert_eq!(
        service.spec.predictor,
        api::resources::inference_service::Predictor::default()
    );
}
