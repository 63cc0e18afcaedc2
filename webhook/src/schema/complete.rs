//! What the API server does to an object before admission: it fills in the defaults of the definition's schema.

use serde_json::{Map, Value};

use super::{Shape, Type};
use crate::review::Kind;

/// Makes of `object` what the API server makes of it when it reads it by the definition of `kind` (structural
/// defaulting): a `null` goes, and what is absent and has a default in the schema is filled in. The status is
/// left alone, as is an object that says to be of another kind or version.
///
/// Doing it again changes nothing.
pub fn complete(kind: Kind, object: &mut Value) {
    if object["apiVersion"] == kind.api_version() && object["kind"] == kind.name() {
        walk(Shape::of(kind), object);
    }
}

fn walk(shape: &Shape, value: &mut Value) {
    match (&shape.kind, value) {
        (Type::Object(fields), Value::Object(members)) => {
            remove_nulls(members, |name| fields.known.contains_key(name));
            for (name, default) in &fields.defaults {
                if !members.contains_key(name) {
                    members.insert(name.clone(), default.clone());
                }
            }
            for (name, member) in members {
                if let Some(shape) = fields.known.get(name) {
                    walk(shape, member);
                }
            }
        }
        (Type::Map(element), Value::Object(members)) => {
            remove_nulls(members, |_| true);
            for member in members.values_mut() {
                walk(element, member);
            }
        }
        (Type::List { element, .. }, Value::Array(items)) => {
            for item in items {
                walk(element, item);
            }
        }
        _ => {}
    }
}

/// The API server keeps a `null` only where the schema does not know the field.
fn remove_nulls(members: &mut Map<String, Value>, is_known: impl Fn(&str) -> bool) {
    members.retain(|name, value| !value.is_null() || !is_known(name));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn completed(kind: Kind, spec: &Value) -> Value {
        let mut object = json!({
            "apiVersion": kind.api_version(), "kind": kind.name(), "metadata": {"name": "m"}, "spec": spec,
        });
        complete(kind, &mut object);
        let once = object.clone();
        complete(kind, &mut object);
        assert_eq!(object, once, "doing it again changes nothing");
        object["spec"].take()
    }

    fn check(kind: Kind, spec: &Value, expected: &Value) {
        assert_eq!(completed(kind, spec), *expected, "{spec}");
    }

    #[test]
    fn what_is_absent_or_null_is_filled_in() {
        let storage = |entries: Value| json!({"predictor": {"storageUris": entries}});
        check(
            Kind::InferenceService,
            &storage(json!([{"uri": "s3://a"}, {"uri": "s3://b", "mountPath": null}, {"mountPath": "/x"}])),
            &storage(json!([
                {"uri": "s3://a", "mountPath": "/mnt/models"},
                {"uri": "s3://b", "mountPath": "/mnt/models"},
                {"mountPath": "/x"},
            ])),
        );
        check(
            Kind::ServingRuntime,
            &json!({"containers": [{"name": "c", "ports": [{"containerPort": 1}, {"containerPort": 2, "protocol": "UDP"}]}]}),
            &json!({"containers": [{"name": "c", "ports": [
                {"containerPort": 1, "protocol": "TCP"}, {"containerPort": 2, "protocol": "UDP"},
            ]}]}),
        );
        check(
            Kind::ClusterStorageContainer,
            &json!({"container": {"name": "c"}, "supportedUriFormats": []}),
            &json!({"container": {"name": "c"}, "supportedUriFormats": [],
                    "workloadType": "initContainer", "supportsMultiModelDownload": false}),
        );
    }

    #[test]
    fn a_null_goes_where_the_field_is_known() {
        check(
            Kind::InferenceService,
            &json!({"predictor": {"minReplicas": null, "future": null, "nodeSelector": {"a": null, "b": "c"}}}),
            &json!({"predictor": {"future": null, "nodeSelector": {"b": "c"}}}),
        );
    }

    #[test]
    fn what_does_not_fit_stays_as_it_is() {
        for spec in [
            json!(null),
            json!("text"),
            json!({"predictor": {"storageUris": {"uri": "s3://a"}, "model": [], "containers": [null, 1]}}),
        ] {
            let found = completed(Kind::InferenceService, &spec);
            assert_eq!(found, spec);
        }
        let other = json!({"apiVersion": "serving.kserve.io/v1alpha2", "kind": "InferenceService",
                           "spec": {"predictor": {"storageUris": [{}]}}});
        let mut object = other.clone();
        complete(Kind::InferenceService, &mut object);
        assert_eq!(object, other);
    }

    #[test]
    fn the_status_is_not_made_up() {
        let mut object = json!({"apiVersion": "serving.kserve.io/v1alpha1", "kind": "Predictor", "spec": {}});
        complete(Kind::Predictor, &mut object);
        assert!(object.get("status").is_none());
    }
}
