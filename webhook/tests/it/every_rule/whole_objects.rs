//! Identity, schema, suppressions, freshness.

use serde_json::json;

use super::{Case, case};
use crate::objects::{annotated, model, object, predictor};

pub(super) fn cases() -> Vec<Case> {
    let mut wrong_version = predictor(json!({}));
    wrong_version["apiVersion"] = json!("serving.kserve.io/v1alpha2");
    let mut spelled = predictor(json!({}));
    spelled["Spec"] = json!({});
    let mut labels = predictor(json!({}));
    labels["metadata"]["labels"] = json!({"team": 7});
    vec![
        case("OB-K01", "apiVersion", wrong_version, predictor(json!({}))),
        case(
            "OB-S01",
            "spec.predictor.minReplicas",
            predictor(json!({"minReplicas": "2"})),
            predictor(json!({"minReplicas": 2})),
        ),
        case(
            "OB-S01",
            "spec.predictor.minReplicas",
            predictor(json!({"minReplicas": 1.5})),
            predictor(json!({"minReplicas": null})),
        ),
        case(
            "OB-S01",
            "spec.predictor.minReplicas",
            predictor(json!({"minReplicas": 3_000_000_000_i64})),
            predictor(json!({})),
        ),
        case(
            "OB-S01",
            "spec.predictor.containers[0].env",
            predictor(json!({"containers": [{"name": "x", "env": {}}]})),
            predictor(json!({"containers": [{"name": "x", "env": []}]})),
        ),
        case(
            "OB-S01",
            "spec.predictor.model.resources.limits.memory",
            model(json!({"modelFormat": {"name": "sklearn"}, "resources": {"limits": {"memory": "2 gigs"}}})),
            model(
                json!({"modelFormat": {"name": "sklearn"}, "resources": {"limits": {"memory": 2, "cpu": "500m"}}}),
            ),
        ),
        case("OB-S01", "metadata.labels.team", labels, predictor(json!({}))),
        case(
            "OB-S01",
            "spec.replicas",
            object(
                webhook::Kind::ServingRuntime,
                "r",
                json!({"replicas": -1, "containers": [{"name": "kserve-container"}]}),
            ),
            object(
                webhook::Kind::ServingRuntime,
                "r",
                json!({"replicas": 2, "containers": [{"name": "kserve-container"}]}),
            ),
        ),
        case("OB-S02", "Spec", spelled, predictor(json!({}))),
        case(
            "OB-S02",
            "spec.predictor.minreplicas",
            predictor(json!({"minreplicas": -1})),
            predictor(json!({"minReplicas": 1})),
        ),
        case(
            "OB-S03",
            "spec.predictor.minReplica",
            predictor(json!({"minReplica": 1})),
            predictor(json!({"volumes": [{"name": "v", "emptyDir": {}}]})),
        ),
        case(
            "OB-S04",
            "spec.predictor.scaleMetricType",
            predictor(json!({"scaleMetricType": "utilization"})),
            predictor(json!({"scaleMetricType": "Utilization"})),
        ),
        case(
            "OB-S04",
            "spec.predictor.name",
            predictor(json!({"name": "V2"})),
            predictor(json!({"name": "v2"})),
        ),
        case(
            "OB-S04",
            "spec.nodes.root.routerType",
            object(webhook::Kind::InferenceGraph, "g", json!({"nodes": {"root": {}}})),
            object(
                webhook::Kind::InferenceGraph,
                "g",
                json!({"nodes": {"root": {"routerType": "Sequence"}}}),
            ),
        ),
        case(
            "OB-A01",
            "metadata.annotations[\"stowage.dev/suppress.IS-C99\"]",
            annotated(
                predictor(json!({})),
                &[("stowage.dev/suppress.IS-C99", "why not")],
            ),
            annotated(
                predictor(json!({})),
                &[("stowage.dev/suppress.IS-C05", "the runtime comes later")],
            ),
        ),
        case(
            "OB-A01",
            "metadata.annotations[\"stowage.dev/suppress.IS-C05\"]",
            annotated(predictor(json!({})), &[("stowage.dev/suppress.IS-C05", " ")]),
            predictor(json!({})),
        ),
        case(
            "OB-A01",
            "metadata.annotations[\"stowage.dev/suppress.IS-V12\"]",
            annotated(
                predictor(json!({})),
                &[("stowage.dev/suppress.IS-V12", "because")],
            ),
            predictor(json!({})),
        ),
        case(
            "OB-F01",
            "",
            predictor(json!({})),
            crate::objects::service(
                json!({"predictor": {"containers": [{"name": "kserve-container", "image": "a"}]}}),
            ),
        )
        .out_of_date(),
        case(
            "IS-D04",
            "spec.predictor.model",
            predictor(json!({"sklearn": {}})),
            crate::objects::service(json!({"predictor": {"sklearn": {}}})),
        ),
    ]
}
