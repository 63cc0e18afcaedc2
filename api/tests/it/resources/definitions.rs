//! What a cluster and `kubectl` see of the definitions. Source of names and columns: KServe `config/crd`, ModelMesh
//! Serving `config/crd`.

use api::resources::{Kind, cel, crd};
use serde_json::{Value, json};

fn version(definition: &Value) -> &Value {
    &definition["spec"]["versions"][0]
}

/// Kind, plural, short name, scope, version, whether status is a subresource.
type Names = (
    Kind,
    &'static str,
    Option<&'static str>,
    &'static str,
    &'static str,
    bool,
);

const UPSTREAM: [Names; 9] = [
    (
        Kind::InferenceService,
        "inferenceservices",
        Some("isvc"),
        "Namespaced",
        "v1beta1",
        true,
    ),
    (
        Kind::ServingRuntime,
        "servingruntimes",
        None,
        "Namespaced",
        "v1alpha1",
        false,
    ),
    (
        Kind::ClusterServingRuntime,
        "clusterservingruntimes",
        None,
        "Cluster",
        "v1alpha1",
        false,
    ),
    (
        Kind::Predictor,
        "predictors",
        None,
        "Namespaced",
        "v1alpha1",
        true,
    ),
    (
        Kind::TrainedModel,
        "trainedmodels",
        Some("tm"),
        "Namespaced",
        "v1alpha1",
        true,
    ),
    (
        Kind::InferenceGraph,
        "inferencegraphs",
        Some("ig"),
        "Namespaced",
        "v1alpha1",
        true,
    ),
    (
        Kind::LocalModelCache,
        "localmodelcaches",
        None,
        "Cluster",
        "v1alpha1",
        true,
    ),
    (
        Kind::LocalModelNamespaceCache,
        "localmodelnamespacecaches",
        None,
        "Namespaced",
        "v1alpha1",
        true,
    ),
    (
        Kind::ClusterStorageContainer,
        "clusterstoragecontainers",
        None,
        "Cluster",
        "v1alpha1",
        false,
    ),
];

#[test]
fn names_scopes_and_versions_are_upstreams() {
    for (kind, plural, short, scope, version_name, status) in UPSTREAM {
        let definition = crd::definition(kind);
        let spec = &definition["spec"];
        assert_eq!(
            definition["metadata"]["name"],
            format!("{plural}.serving.kserve.io")
        );
        assert_eq!(spec["group"], "serving.kserve.io");
        assert_eq!(spec["names"]["plural"], plural);
        assert_eq!(spec["names"]["singular"], kind.name().to_lowercase());
        assert_eq!(spec["names"]["kind"], kind.name());
        assert_eq!(spec["names"]["listKind"], format!("{}List", kind.name()));
        assert_eq!(
            spec["names"].get("shortNames"),
            short.map(|short| json!([short])).as_ref(),
            "{plural}"
        );
        assert_eq!(spec["scope"], scope, "{plural}");
        assert_eq!(spec["versions"].as_array().map(Vec::len), Some(1));
        assert_eq!(version(&definition)["name"], version_name);
        assert_eq!(version(&definition)["served"], true);
        assert_eq!(version(&definition)["storage"], true);
        assert_eq!(
            version(&definition)["subresources"].get("status").is_some(),
            status,
            "{plural}"
        );
        assert_eq!(kind.plural(), plural);
        assert_eq!(kind.version(), version_name);
        assert_eq!(kind.namespaced(), scope == "Namespaced");
        assert_eq!(Kind::of(kind.api_version(), kind.name()), Some(kind));
    }
    assert_eq!(
        Kind::of("serving.kserve.io/v1alpha1", "LLMInferenceService"),
        None
    );
    assert_eq!(Kind::of("v1", "Predictor"), None);
    assert_eq!(Kind::of("other.io/v1alpha1", "Predictor"), None);
}

#[test]
fn columns_begin_with_upstreams() {
    let columns = |kind| {
        let definition = crd::definition(kind);
        let listed = version(&definition)["additionalPrinterColumns"]
            .as_array()
            .expect("columns")
            .clone();
        listed
            .iter()
            .map(|column| column["name"].as_str().expect("name").to_owned())
            .collect::<Vec<_>>()
    };
    for (kind, names) in [
        (
            Kind::InferenceService,
            &[
                "URL",
                "Ready",
                "Prev",
                "Latest",
                "PrevRolledoutRevision",
                "LatestReadyRevision",
                "Age",
            ][..],
        ),
        (
            Kind::ServingRuntime,
            &["Disabled", "ModelType", "Containers", "Age"],
        ),
        (
            Kind::ClusterServingRuntime,
            &["Disabled", "ModelType", "Containers", "Age"],
        ),
        (
            Kind::Predictor,
            &[
                "Type",
                "Available",
                "ActiveModel",
                "TargetModel",
                "Transition",
                "Age",
            ],
        ),
        (Kind::TrainedModel, &["URL", "Ready", "Age"]),
        (Kind::InferenceGraph, &["URL", "Ready", "Age"]),
    ] {
        assert_eq!(columns(kind)[..names.len()], *names, "{}", kind.name());
    }
}

#[test]
fn a_new_predictor_shows_a_status() {
    let definition = crd::definition(Kind::Predictor);
    let status = &version(&definition)["schema"]["openAPIV3Schema"]["properties"]["status"];
    let expected = json!({
        "activeModelState": "Pending", "available": false, "failedCopies": 0, "targetModelState": "",
        "totalCopies": 0, "transitionStatus": "UpToDate",
    });
    assert_eq!(status["default"], expected);
}

/// `kubectl apply` keeps a copy of the object in an annotation, and annotations have 256 KiB together.
#[test]
fn every_definition_can_be_applied_from_the_client() {
    for kind in Kind::ALL {
        let bytes = crd::definition(kind).to_string().len();
        assert!(bytes < 250 * 1024, "{}: {bytes} bytes", kind.name());
    }
}

/// The rules that are found in a definition are those of the table, each as often as it has paths.
#[test]
fn every_rule_is_where_the_table_says() {
    fn count(value: &Value) -> usize {
        match value {
            Value::Object(members) => {
                let here = members
                    .get("x-kubernetes-validations")
                    .and_then(Value::as_array)
                    .map_or(0, Vec::len);
                here + members.values().map(count).sum::<usize>()
            }
            Value::Array(items) => items.iter().map(count).sum(),
            _ => 0,
        }
    }
    for kind in Kind::ALL {
        let wanted: usize = cel::RULES
            .iter()
            .filter(|rule| rule.kinds.contains(&kind))
            .map(|rule| rule.paths.len())
            .sum();
        assert_eq!(count(&crd::definition(kind)), wanted, "{}", kind.name());
    }
}

/// What a newer KServe adds is stored, wherever it stands.
#[test]
fn unknown_fields_are_kept_at_every_level() {
    fn walk(path: &str, schema: &Value) {
        let open = schema["x-kubernetes-preserve-unknown-fields"] == true;
        assert!(open || schema.get("properties").is_none(), "{path} is closed");
        let below = schema["properties"].as_object().into_iter().flatten();
        let below = below.map(|(name, schema)| (name.as_str(), schema));
        let elements = ["items", "additionalProperties"]
            .into_iter()
            .filter_map(|key| Some((key, schema.get(key)?)));
        for (name, schema) in below.chain(elements) {
            walk(&format!("{path}.{name}"), schema);
        }
    }
    for kind in Kind::ALL {
        walk(kind.name(), &crd::schema(kind));
    }
}

/// What the API server refuses in a definition, as far as it is a matter of form: every schema has a type or keeps
/// everything, keys of lists are required or have a default, and fields that rules name exist.
#[test]
fn schemas_are_structural() {
    fn walk(path: &str, schema: &Value) {
        let open = schema["x-kubernetes-preserve-unknown-fields"] == true;
        assert!(
            schema["type"].is_string() || schema["x-kubernetes-int-or-string"] == true || open,
            "{path} has no type"
        );
        assert!(
            schema.get("nullable").is_none() && schema.get("$ref").is_none(),
            "{path}"
        );
        assert!(
            !(schema.get("properties").is_some() && schema.get("additionalProperties").is_some()),
            "{path}"
        );
        for key in schema["x-kubernetes-list-map-keys"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let items = &schema["items"];
            let key = key.as_str().expect("text");
            let required = items["required"]
                .as_array()
                .is_some_and(|names| names.contains(&json!(key)));
            assert!(
                required || items["properties"][key].get("default").is_some(),
                "{path}: key {key}"
            );
        }
        for rule in schema["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let mut target = schema;
            for name in rule["fieldPath"].as_str().unwrap_or_default().split('.').skip(1) {
                target = &target["properties"][name];
            }
            assert!(target.is_object(), "{path}: {rule}");
        }
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            walk(&format!("{path}.{name}"), member);
        }
        for each in ["items", "additionalProperties"] {
            if schema.get(each).is_some() {
                walk(&format!("{path}.{each}"), &schema[each]);
            }
        }
    }
    for kind in Kind::ALL {
        walk(kind.name(), &crd::schema(kind));
    }
}
