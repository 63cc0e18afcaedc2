//! The shipped webhook configurations against the code: paths, kinds, and what keeps a cluster safe.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::{Value, json};
use webhook::{
    Kind,
    server::paths::{ENDPOINTS, Purpose},
};

fn configuration(file: &str) -> Value {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../manifests/webhook");
    let path = folder.join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

fn webhooks() -> Vec<(Purpose, Value)> {
    let files = [
        ("mutating.yaml", Purpose::Mutate),
        ("validating.yaml", Purpose::Validate),
    ];
    let mut all = Vec::new();
    for (file, purpose) in files {
        let configuration = configuration(file);
        assert_eq!(configuration["metadata"]["name"], "stowage-webhook", "{file}");
        for webhook in configuration["webhooks"].as_array().unwrap() {
            all.push((purpose, webhook.clone()));
        }
    }
    all
}

#[test]
fn every_kind_is_sent_to_the_path_that_takes_it() {
    let mut seen = BTreeMap::new();
    for (purpose, webhook) in webhooks() {
        let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap();
        let endpoint = ENDPOINTS.iter().find(|endpoint| endpoint.path == path);
        let endpoint = endpoint.unwrap_or_else(|| panic!("{path} is not served"));
        assert_eq!(endpoint.purpose, purpose, "{path}");
        let [rule] = webhook["rules"].as_array().unwrap().as_slice() else {
            panic!("{path}: one rule is expected")
        };
        let [kind] = endpoint.kinds else {
            panic!("{path} takes several kinds")
        };
        let (group, version) = kind.api_version().split_once('/').unwrap();
        assert_eq!(rule["apiGroups"], json!([group]), "{path}");
        assert_eq!(rule["apiVersions"], json!([version]), "{path}");
        assert_eq!(rule["resources"], json!([kind.plural()]), "{path}");
        assert_eq!(
            rule["scope"],
            if kind.namespaced() {
                "Namespaced"
            } else {
                "Cluster"
            },
            "{path}"
        );
        let deletes = matches!(kind, Kind::LocalModelCache | Kind::LocalModelNamespaceCache);
        let operations = if deletes {
            json!(["CREATE", "UPDATE", "DELETE"])
        } else {
            json!(["CREATE", "UPDATE"])
        };
        assert_eq!(rule["operations"], operations, "{path}");
        let twice = seen.insert((purpose.as_str(), *kind), path.to_owned());
        assert_eq!(twice, None, "{path}");
    }
    for kind in Kind::ALL {
        assert!(
            seen.contains_key(&("validate", kind)),
            "{kind:?} is not validated"
        );
    }
    assert!(seen.contains_key(&("mutate", Kind::InferenceService)));
}

#[test]
fn no_webhook_can_stop_a_cluster() {
    for (_, webhook) in webhooks() {
        let name = webhook["name"].as_str().unwrap();
        // Until the API server was seen to reach it.
        assert_eq!(webhook["failurePolicy"], "Ignore", "{name}");
        assert_eq!(webhook["sideEffects"], "None", "{name}");
        assert_eq!(webhook["admissionReviewVersions"], json!(["v1"]), "{name}");
        assert!(webhook["timeoutSeconds"].as_u64().unwrap() <= 5, "{name}");
        let condition = webhook["matchConditions"][0]["expression"].as_str().unwrap();
        assert!(
            condition.contains("deletionTimestamp"),
            "{name}: finalizers must come off"
        );
        if webhook["rules"][0]["scope"] == "Namespaced" {
            let excluded = &webhook["namespaceSelector"]["matchExpressions"][0];
            assert_eq!(excluded["operator"], "NotIn", "{name}");
            assert!(
                excluded["values"]
                    .as_array()
                    .unwrap()
                    .contains(&json!("kube-system")),
                "{name}"
            );
        }
    }
}
