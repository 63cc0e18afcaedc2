//! Objects as watches decode them, reduced to what snapshots take.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use kube::{
    Resource,
    api::{ApiResource, DynamicObject, ObjectMeta, PartialObjectMeta},
    core::DynamicResourceScope,
};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value, json};

use super::source::Source;

/// What a watch hands on.
pub(super) trait Observed {
    fn metadata(&self) -> &ObjectMeta;

    /// The object as `Snapshot::observe` reads it.
    fn reduce(self, source: &Source) -> Value;
}

/// Metadata without what only the API server needs, which is most of it.
fn frame(metadata: &ObjectMeta, source: &Source) -> Map<String, Value> {
    let kept = json!({
        "name": metadata.name,
        "namespace": metadata.namespace,
        "labels": metadata.labels,
        "annotations": metadata.annotations,
        "creationTimestamp": metadata.creation_timestamp,
        "deletionTimestamp": metadata.deletion_timestamp,
    });
    Map::from_iter([
        ("kind".to_owned(), source.kind.into()),
        ("metadata".to_owned(), kept),
    ])
}

impl Observed for DynamicObject {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn reduce(self, source: &Source) -> Value {
        let mut object = frame(&self.metadata, source);
        if let Value::Object(fields) = self.data {
            let own = fields.into_iter().filter(|(key, _)| key != "status");
            object.extend(own);
        }
        Value::Object(object)
    }
}

impl Observed for PartialObjectMeta<DynamicObject> {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn reduce(self, source: &Source) -> Value {
        Value::Object(frame(&self.metadata, source))
    }
}

/// A Secret without its values: they are skipped where they stand in the answer.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct KeysOnly {
    metadata: ObjectMeta,
    #[serde(default, deserialize_with = "keys")]
    data: BTreeSet<String>,
}

impl Observed for KeysOnly {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn reduce(self, source: &Source) -> Value {
        let mut metadata = self.metadata;
        // What kubectl applied last is in an annotation, with values.
        metadata.annotations = None;
        let mut object = frame(&metadata, source);
        // Null would read as absent.
        let nothing = |key| (key, Value::String(String::new()));
        let data = self.data.into_iter().map(nothing).collect();
        object.insert("data".to_owned(), Value::Object(data));
        Value::Object(object)
    }
}

impl Resource for KeysOnly {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::kind(resource)
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::group(resource)
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::version(resource)
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::plural(resource)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<String>, D::Error> {
    struct Keys;

    impl<'de> Visitor<'de> for Keys {
        type Value = BTreeSet<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the data of a Secret")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeSet::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut keys = BTreeSet::new();
            while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                keys.insert(key);
            }
            Ok(keys)
        }
    }

    deserializer.deserialize_any(Keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::source::SOURCES;

    fn source(name: &str) -> &'static Source {
        SOURCES.iter().find(|source| source.name == name).unwrap()
    }

    #[test]
    fn no_value_of_a_secret_is_kept() {
        let secret: KeysOnly = serde_json::from_value(json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "storage-config",
                "namespace": "ns",
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "hunter2"},
            },
            "data": {"localMinIO": "aHVudGVyMg==", "other": "aHVudGVyMg=="},
        }))
        .unwrap();
        assert!(!format!("{secret:?}").contains("aHVudGVyMg"));
        let reduced = secret.reduce(source("secrets"));
        assert!(!reduced.to_string().contains("hunter2"));
        assert_eq!(reduced["data"], json!({"localMinIO": "", "other": ""}));
        for empty in [json!({"metadata": {}}), json!({"metadata": {}, "data": null})] {
            assert!(serde_json::from_value::<KeysOnly>(empty).unwrap().data.is_empty());
        }
    }

    #[test]
    fn objects_lose_what_no_rule_reads() {
        let runtime: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "serving.kserve.io/v1alpha1",
            "kind": "ServingRuntime",
            "metadata": {"name": "r", "namespace": "ns", "managedFields": [{"manager": "m"}], "labels": {"a": "b"}},
            "spec": {"disabled": true},
            "status": {"large": true},
        }))
        .unwrap();
        let reduced = runtime.reduce(source("servingruntimes"));
        assert_eq!(
            (&reduced["kind"], &reduced["spec"]),
            (&json!("ServingRuntime"), &json!({"disabled": true}))
        );
        assert!(reduced.get("status").is_none() && reduced["metadata"].get("managedFields").is_none());
        assert_eq!(reduced["metadata"]["labels"], json!({"a": "b"}));
    }
}
