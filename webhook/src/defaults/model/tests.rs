use serde_json::{Value, json};

use super::{super::tests::service, LAST_APPLIED};
use crate::{Defaulted, Kind, Mode, Operation, Options, Request, Snapshot, default, patch};

fn options(mode: Mode) -> Options {
    Options {
        mode,
        ..Options::default()
    }
}

fn run(object: &Value, old: Option<&Value>, options: &Options) -> Defaulted {
    let request = Request {
        operation: if old.is_some() {
            Operation::Update
        } else {
            Operation::Create
        },
        kind: Kind::InferenceService,
        namespace: "default",
        name: "iris",
        object: Some(object),
        old,
    };
    default(&request, &Snapshot::synced(), options)
}

/// What is stored once the object has passed.
fn stored(mut object: Value, old: Option<&Value>) -> Value {
    let Defaulted { patch, .. } = run(&object, old, &Options::default());
    patch::apply(&mut object, &patch).expect("the patch applies");
    object
}

/// What `kubectl apply` sends: the stored object, changed by what differs between two manifests, as a merge patch.
fn apply(manifest: &Value, last: &Value, live: &Value) -> Value {
    fn merge(into: &mut Value, last: &Value, manifest: &Value) {
        let (Value::Object(into), Value::Object(manifest)) = (&mut *into, manifest) else {
            *into = manifest.clone();
            return;
        };
        for key in last.as_object().into_iter().flat_map(serde_json::Map::keys) {
            if !manifest.contains_key(key) {
                into.remove(key);
            }
        }
        for (key, value) in manifest {
            merge(into.entry(key).or_insert(json!({})), &last[key], value);
        }
    }
    let mut sent = live.clone();
    merge(&mut sent, last, manifest);
    sent["metadata"]["annotations"][LAST_APPLIED] = manifest.to_string().into();
    sent
}

fn applied_first(manifest: &Value) -> Value {
    let mut sent = manifest.clone();
    sent["metadata"]["annotations"][LAST_APPLIED] = manifest.to_string().into();
    stored(sent, None)
}

fn told(object: &Value, old: Option<&Value>, mode: Mode) -> Vec<String> {
    let Defaulted { findings, .. } = run(object, old, &options(mode));
    findings
        .iter()
        .map(|finding| format!("{} {finding}", finding.severity))
        .collect()
}

const NOTHING: [&str; 0] = [];

#[test]
fn a_model_that_a_block_replaces_is_told_or_refused() {
    let object = service(json!({"model": {"runtime": "mine"}, "sklearn": {}}), json!({}));
    let text =
        "spec.predictor.model: `sklearn` replaces `model`, which is dropped; keep one of the two [IS-D04]";
    assert_eq!(told(&object, None, Mode::Compat), [format!("warn {text}")]);
    assert_eq!(told(&object, None, Mode::Strict), [format!("deny {text}")]);
    let converted = stored(object, None);
    assert_eq!(
        converted["spec"]["predictor"],
        json!({"model": {"modelFormat": {"name": "sklearn"}}})
    );
}

#[test]
fn a_model_that_says_the_same_loses_nothing() {
    let model = json!({"modelFormat": {"name": "onnx"}, "protocolVersion": "v2", "storageUri": "s3://b/m", "name": ""});
    let object = service(
        json!({"model": model, "onnx": {"storageUri": "s3://b/m"}}),
        json!({}),
    );
    assert_eq!(told(&object, None, Mode::Strict), NOTHING);
}

#[test]
fn a_finding_can_be_suppressed_and_does_not_refuse_then() {
    let key = "stowage.dev/suppress.IS-D04";
    let object = service(
        json!({"model": {"runtime": "mine"}, "sklearn": {}}),
        json!({key: "both until the last client is moved"}),
    );
    let found = run(&object, None, &options(Mode::Strict)).findings;
    assert!(!found[0].denies());
    assert_eq!(
        found[0].suppressed.as_deref(),
        Some("both until the last client is moved")
    );
    let off = Options {
        suppressions: false,
        ..options(Mode::Strict)
    };
    assert!(run(&object, None, &off).findings[0].denies());
}

#[test]
fn a_manifest_with_a_block_can_be_applied_again() {
    let manifest = |block: Value| service(block, json!({}));
    let port = json!([{"containerPort": 80}]);
    let first =
        manifest(json!({"sklearn": {"storageUri": "s3://b/1", "env": [{"name": "A"}], "ports": port}}));
    let mut live = applied_first(&first);
    // As the API server stores it.
    live["spec"]["predictor"]["model"]["ports"][0]["protocol"] = json!("TCP");
    // As upstream's webhook stores it.
    live["spec"]["predictor"]["model"]["resources"] = json!({});
    for next in [
        first.clone(),
        manifest(json!({"sklearn": {"storageUri": "s3://b/2"}})),
        manifest(json!({"xgboost": {"storageUri": "s3://b/2"}, "minReplicas": 2})),
    ] {
        let sent = apply(&next, &first, &live);
        assert!(sent["spec"]["predictor"]["model"].is_object(), "{sent}");
        assert_eq!(told(&sent, Some(&live), Mode::Strict), NOTHING, "{next}");
        let predictor = &stored(sent, Some(&live))["spec"]["predictor"];
        let (_, block) = next["spec"]["predictor"]
            .as_object()
            .unwrap()
            .iter()
            .next_back()
            .unwrap();
        assert_eq!(predictor["model"]["storageUri"], block["storageUri"]);
        assert_eq!(
            predictor["model"].get("env"),
            block.get("env"),
            "what the manifest lost is gone"
        );
    }
}

/// Server-side apply leaves no trace of what was applied.
#[test]
fn without_a_last_manifest_what_is_lost_is_told() {
    let old = service(
        json!({"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://b/1", "resources": {"limits": {"cpu": "1"}}}}),
        json!({}),
    );
    let sent = |block: Value| {
        let mut object = old.clone();
        object["spec"]["predictor"]["sklearn"] = block;
        told(&object, Some(&old), Mode::Strict)
    };
    let limits = json!({"limits": {"cpu": "2"}});
    assert_eq!(
        sent(json!({"storageUri": "s3://b/2", "resources": limits})),
        NOTHING
    );
    assert_eq!(
        sent(json!({"storageUri": "s3://b/2", "resources": {"requests": {"cpu": "1"}}})),
        [
            "warn spec.predictor.model: `sklearn` replaces the stored `model`, which also has `resources.limits`; write what \
          is to stay into `sklearn` [IS-D04]"
        ]
    );
}

#[test]
fn a_stored_model_that_no_block_becomes_is_not_dropped_in_silence() {
    for model in [
        json!({"modelFormat": {"name": "xgboost"}}),
        json!({"modelFormat": {"name": "sklearn", "version": "1"}}),
        json!({"modelFormat": {"name": "sklearn"}, "runtime": "mine"}),
    ] {
        let old = service(json!({"model": model}), json!({}));
        let mut object = old.clone();
        object["spec"]["predictor"]["sklearn"] = json!({"storageUri": "s3://b/m"});
        let found = told(&object, Some(&old), Mode::Strict);
        assert_eq!(
            found,
            [
                "deny spec.predictor.model: `sklearn` replaces the stored `model`, which is dropped; change `model` instead, \
              or remove it in the same request [IS-D04]"
            ]
        );
        assert!(told(&object, Some(&old), Mode::Compat)[0].starts_with("warn"));
    }
}

#[test]
fn a_model_that_the_request_changes_is_its_own() {
    let old = applied_first(&service(
        json!({"sklearn": {"storageUri": "s3://b/1"}}),
        json!({}),
    ));
    let mut object = old.clone();
    object["spec"]["predictor"]["model"]["storageUri"] = json!("s3://b/2");
    object["spec"]["predictor"]["sklearn"] = json!({"storageUri": "s3://b/1"});
    assert!(told(&object, Some(&old), Mode::Strict)[0].starts_with("deny"));
}

/// Both can be stored from before there was a webhook.
#[test]
fn what_is_stored_with_both_can_be_changed_elsewhere() {
    let old = service(json!({"model": {"runtime": "mine"}, "sklearn": {}}), json!({}));
    let mut object = old.clone();
    object["metadata"]["labels"] = json!({"team": "a"});
    let found = told(&object, Some(&old), Mode::Strict);
    assert!(
        found[0].starts_with("warn") && found[0].contains("the stored object has it too"),
        "{found:?}"
    );
    object["spec"]["predictor"]["sklearn"]["storageUri"] = json!("s3://b/m");
    assert!(told(&object, Some(&old), Mode::Strict)[0].starts_with("deny"));
}
