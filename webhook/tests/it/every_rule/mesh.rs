//! Services in ModelMesh mode, and predictors.

use serde_json::{Value, json};
use webhook::Kind;

use super::{Case, case};
use crate::objects::{annotated, merge, mesh, object, service};

fn model(more: Value) -> Value {
    let mut block = json!({"modelFormat": {"name": "sklearn"}, "storageUri": "s3://b/m"});
    merge(&mut block, more);
    mesh(service(json!({"predictor": {"model": block}})))
}

fn beside(more: Value) -> Value {
    let mut object = model(json!({}));
    merge(&mut object["spec"], more);
    object
}

fn predictor(more: Value) -> Value {
    let mut spec = json!({"modelType": {"name": "sklearn"}, "storage": {"path": "iris"}});
    merge(&mut spec, more);
    object(Kind::Predictor, "iris", spec)
}

pub(super) fn cases() -> Vec<Case> {
    let good = model(json!({}));
    let pin = "serving.kserve.io/servingRuntime";
    vec![
        case(
            "IS-M01",
            "spec.predictor.paddle",
            mesh(service(json!({"predictor": {"paddle": {}}}))),
            good.clone(),
        ),
        case(
            "IS-M01",
            "spec.predictor.containers",
            mesh(service(
                json!({"predictor": {"containers": [{"name": "kserve-container"}]}}),
            )),
            good.clone(),
        ),
        case(
            "IS-M02",
            "metadata.annotations[\"serving.kserve.io/servingRuntime\"]",
            annotated(good.clone(), &[(pin, "mlserver-mesh")]),
            annotated(
                mesh(service(
                    json!({"predictor": {"sklearn": {"storageUri": "s3://b/m"}}}),
                )),
                &[(pin, "mlserver-mesh")],
            ),
        ),
        case(
            "IS-M03",
            "spec.predictor.model.storageUri",
            model(json!({"storageUri": null})),
            good.clone(),
        ),
        case(
            "IS-M03",
            "spec.predictor.model.storage.path",
            model(json!({"storage": {"path": "m"}})),
            model(json!({"storageUri": null, "storage": {"path": "m"}})),
        ),
        case(
            "IS-M04",
            "spec.predictor.model.storageUri",
            model(json!({"storageUri": "hf://a/b"})),
            model(json!({"storageUri": "pvc://claim/m"})),
        ),
        case(
            "IS-M05",
            "spec.predictor.model.resources",
            model(json!({"resources": {"limits": {"cpu": "1"}}})),
            model(json!({"name": "", "resources": {}})),
        ),
        case(
            "IS-M05",
            "spec.predictor.logger",
            beside(json!({"predictor": {"logger": {"mode": "all"}}})),
            beside(json!({"predictor": {"minReplicas": 2, "canaryTrafficPercent": 10}})),
        ),
        case(
            "IS-M05",
            "spec.explainer",
            beside(json!({"explainer": {"art": {}}})),
            beside(json!({"transformer": {"containers": [{"name": "kserve-container"}]}})),
        ),
        case(
            "IS-C03",
            "spec.predictor.model.runtime",
            model(json!({"runtime": "mlserver-mash"})),
            model(json!({"runtime": "mlserver-mesh"})),
        ),
        case(
            "IS-C04",
            "spec.predictor.model.runtime",
            model(json!({"runtime": "kserve-mlserver"})),
            model(json!({"runtime": "mlserver-mesh"})),
        ),
        case(
            "IS-C05",
            "spec.predictor.model.modelFormat.name",
            model(json!({"protocolVersion": "v1"})),
            model(json!({"protocolVersion": "v2"})),
        ),
        case(
            "IS-C16",
            "metadata.annotations[\"serving.kserve.io/secretKey\"]",
            annotated(good.clone(), &[("serving.kserve.io/secretKey", "nope")]),
            annotated(good, &[("serving.kserve.io/secretKey", "localMinIO")]),
        ),
        case(
            "PR-C01",
            "spec.path",
            predictor(json!({"path": "iris"})),
            predictor(json!({})),
        ),
        case(
            "PR-C01",
            "spec.schemaPath",
            predictor(json!({"schemaPath": "s", "storage": {"schemaPath": "s"}})),
            predictor(json!({"schemaPath": "s"})),
        ),
        case(
            "PR-C02",
            "spec.storage.persistentVolumeClaim",
            predictor(json!({"storage": {"persistentVolumeClaim": {"claimName": "c"}}})),
            predictor(json!({})),
        ),
        case(
            "PR-C03",
            "spec.storage.s3",
            predictor(json!({"storage": {"s3": {"secretKey": "localMinIO"}}})),
            object(
                Kind::Predictor,
                "iris",
                json!({"modelType": {"name": "sklearn"}, "path": "m", "storage": {"s3": {"secretKey": "localMinIO"}}}),
            ),
        ),
        case(
            "PR-C04",
            "spec.runtime.name",
            predictor(json!({"runtime": {"name": "mlserver"}})),
            predictor(json!({"runtime": {"name": "mlserver-mesh"}})),
        ),
        case(
            "PR-C04",
            "spec.runtime.name",
            predictor(json!({"runtime": {"name": "off"}})),
            predictor(json!({})),
        ),
        case(
            "PR-C05",
            "spec.modelType.name",
            predictor(json!({"modelType": {"version": "1.15"}})),
            predictor(json!({"modelType": {"version": "0"}})),
        ),
        case(
            "PR-C06",
            "spec.protocolVersion",
            predictor(json!({"protocolVersion": "grpc"})),
            predictor(json!({"protocolVersion": "grpc-v2"})),
        ),
        case(
            "PR-C07",
            "spec.storage.key",
            predictor(json!({"storage": {"key": "s3"}})),
            predictor(json!({"storage": {"key": "localMinIO"}})),
        ),
        case(
            "PR-C08",
            "spec.modelType.name",
            object(Kind::Predictor, "iris", json!({"path": "m"})),
            predictor(json!({})),
        ),
        case(
            "PR-C09",
            "spec.gpu",
            predictor(json!({"gpu": "required"})),
            predictor(json!({})),
        ),
    ]
}
