//! Objects are judged as the API server reads them: with the defaults of their definition.

use serde_json::json;

use super::{Folder, rules, service};

#[test]
fn defaults_of_the_definition_are_filled_in_before_rules_look() {
    let predictor = "{model: {modelFormat: {name: sklearn}}, storageUris: [{uri: 's3://models/iris'}]}";
    let folder = Folder::with(&[("a.yaml", &service("iris", predictor))]);
    let (code, report) = folder.check(&["a.yaml", "--mode", "strict"]);
    assert_eq!(code, 0, "{report:?}");
    assert_eq!(
        report[0]["defaulted"]["spec"]["predictor"]["storageUris"],
        json!([{"uri": "s3://models/iris", "mountPath": "/mnt/models"}])
    );
}

/// A block that becomes `model` is completed by the definition of both.
#[test]
fn what_the_webhook_makes_is_completed_too() {
    let predictor = "{onnx: {storageUri: 's3://b/m', ports: [{containerPort: 1}], env: null}}";
    let folder = Folder::with(&[("a.yaml", &service("iris", predictor))]);
    let (_, report) = folder.check(&["a.yaml"]);
    assert_eq!(
        report[0]["defaulted"]["spec"]["predictor"],
        json!({"model": {
            "modelFormat": {"name": "onnx"}, "protocolVersion": "v2", "storageUri": "s3://b/m",
            "ports": [{"containerPort": 1, "protocol": "TCP"}],
        }})
    );
}

/// A field that is not in the file is looked for where it would be written.
#[test]
fn a_finding_about_a_default_points_at_the_entry_that_leaves_it_out() {
    let list = "\n    storageUris:\n    - uri: pvc://a\n    - uri: pvc://b\n    model: {modelFormat: {name: sklearn}}";
    let folder = Folder::with(&[("a.yaml", &service("iris", list))]);
    let (code, report) = folder.check(&["a.yaml", "--mode", "strict"]);
    assert_eq!(
        (code, rules(&report[0], "deny")),
        (1, vec!["IS-C20"]),
        "{report:?}"
    );
    let finding = &report[0]["findings"][0];
    assert_eq!(finding["field"], "spec.predictor.storageUris[1].mountPath");
    assert_eq!(
        (&finding["line"], &finding["column"]),
        (&json!(8), &json!(7)),
        "{finding}"
    );
}

/// What is wrong in a block is told of `model`, which it becomes, and found in the block.
#[test]
fn a_finding_in_a_block_points_into_the_block() {
    let block =
        "\n    sklearn:\n      storageUri: s3://b/m\n      env:\n      - name: PYTHONPATH\n        value: x";
    for more in ["", "\n    model: {runtime: mine}"] {
        let folder = Folder::with(&[("a.yaml", &service("iris", &format!("{block}{more}")))]);
        let (_, report) = folder.check(&["a.yaml"]);
        let findings = report[0]["findings"].as_array().unwrap();
        let finding = findings
            .iter()
            .find(|finding| finding["rule"] == "IS-V03")
            .unwrap();
        assert_eq!(finding["field"], "spec.predictor.model.env[0].name");
        assert_eq!(
            (&finding["line"], &finding["column"]),
            (&json!(9), &json!(9)),
            "{finding}"
        );
    }
}

/// The stored object is read by the same definition, so a default is no change.
#[test]
fn stored_objects_are_completed_too() {
    let (model, port) = (
        "modelFormat: {name: sklearn}, storageUri: 's3://b/m'",
        "containerPort: 80",
    );
    let canary = |protocol: &str| {
        service(
            "iris",
            &format!(
                "{{model: {{{model}, env: [{{name: PYTHONPATH, value: x}}], ports: [{{{port}{protocol}}}]}}}}"
            ),
        )
    };
    let folder = Folder::with(&[
        ("new.yaml", &canary("")),
        ("old.yaml", &canary(", protocol: TCP")),
    ]);
    let (code, report) = folder.check(&["new.yaml", "--old", "old.yaml"]);
    assert_eq!(code, 0, "an offence that is stored is a warning: {report:?}");
    assert!(!rules(&report[0], "warn").is_empty());
}
