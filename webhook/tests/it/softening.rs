//! What softens findings: ratcheting, suppressions, data that is out of date, objects that are going.

use serde_json::{Value, json};
use webhook::{
    Kind, Mode, Operation, Options, Request, Snapshot,
    config::{Config, DeploymentMode},
    validate,
};

use crate::{
    objects::{annotated, findings, lines, named, object, options, passes, predictor, request, review},
    shipped::{cluster, stale_cluster},
};

fn update(old: &Value, new: &Value, options: &Options) -> Vec<webhook::Finding> {
    validate(
        &request(Kind::InferenceService, new, Some(old)),
        &cluster(),
        options,
    )
}

#[test]
fn an_unchanged_offence_warns_and_a_changed_one_denies() {
    let bad = predictor(json!({"minReplicas": -1, "logger": {"mode": "every"}}));
    let labeled = annotated(bad.clone(), &[("team", "a")]);
    for mode in [Mode::Compat, Mode::Strict] {
        let found = update(&bad, &labeled, &options(mode));
        assert!(passes(&found), "{}", lines(&found));
        assert_eq!(
            found.iter().filter(|finding| finding.rule.id == "IS-V12").count(),
            1,
            "it is still told"
        );
        assert!(
            found[0].to_string().contains("the stored object has it too"),
            "{}",
            found[0]
        );

        let mut worse = labeled.clone();
        worse["spec"]["predictor"]["minReplicas"] = json!(-2);
        assert!(!passes(&update(&bad, &worse, &options(mode))));

        let off = Options {
            ratchet: false,
            ..options(mode)
        };
        assert!(!passes(&update(&bad, &labeled, &off)));
    }
    assert!(
        !passes(&findings(&labeled, &cluster(), Mode::Compat)),
        "creation has nothing to compare with"
    );
}

#[test]
fn an_offence_moves_with_defaulting_and_stays_the_same() {
    let block = json!({"storageUri": "s3://b/m", "env": [{"name": "PYTHONPATH", "value": "/x"}]});
    let old = crate::objects::service(json!({"predictor": {"sklearn": block}}));
    let new = annotated(old.clone(), &[("team", "a")]);
    let request = request(Kind::InferenceService, &new, Some(&old));
    let reviewed = crate::objects::review(&request, &cluster(), &Options::default());
    assert!(passes(&reviewed.findings), "{}", lines(&reviewed.findings));

    let mut other = new.clone();
    other["spec"]["predictor"]["sklearn"]["env"][0]["value"] = json!("/y");
    let request = Request {
        object: Some(&other),
        ..request
    };
    let reviewed = crate::objects::review(&request, &cluster(), &Options::default());
    assert!(
        !passes(&reviewed.findings),
        "another value of the variable is another offence"
    );
}

/// A cluster whose services run in this mode unless they say another one.
fn cluster_of(mode: DeploymentMode) -> Snapshot {
    let mut snapshot = cluster();
    snapshot.set_config(Config {
        default_deployment_mode: mode,
        ..Config::default()
    });
    snapshot
}

#[test]
fn a_forbidden_change_is_no_old_offence() {
    let mode = |mode| {
        annotated(
            predictor(json!({})),
            &[("serving.kserve.io/deploymentMode", mode)],
        )
    };
    let running = |mut service: Value| {
        service["status"] = json!({"deploymentMode": "Knative"});
        service
    };
    let labeled = annotated(mode("Standard"), &[("team", "a")]);
    // Defaulting would give the stored service the annotation that the new one has.
    let all = [
        (running(predictor(json!({}))), mode("Standard")),
        (running(mode("Standard")), labeled),
    ];
    for (old, new) in all {
        for options in [options(Mode::Compat), options(Mode::Strict)] {
            let request = request(Kind::InferenceService, &new, Some(&old));
            let reviewed = review(&request, &cluster_of(DeploymentMode::Standard), &options);
            let denied: Vec<_> = reviewed
                .findings
                .iter()
                .filter(|finding| finding.denies())
                .collect();
            assert_eq!(denied.len(), 1, "{}", lines(&reviewed.findings));
            assert_eq!(denied[0].rule.id, "IS-U02");
        }
    }
}

#[test]
fn a_service_can_be_updated_after_the_default_mode_of_the_cluster_changed() {
    let mut old = predictor(json!({}));
    old["status"] = json!({"deploymentMode": "Serverless"});
    let new = annotated(predictor(json!({})), &[("team", "a")]);
    let request = request(Kind::InferenceService, &new, Some(&old));
    let ask = |options: &Options| review(&request, &cluster_of(DeploymentMode::Standard), options);
    let reviewed = ask(&Options::default());
    assert!(passes(&reviewed.findings), "{}", lines(&reviewed.findings));
    let annotations = &reviewed.defaulted["metadata"]["annotations"];
    assert_eq!(annotations.get("serving.kserve.io/deploymentMode"), None);
    // Upstream writes the new mode down and refuses it then.
    let upstream = ask(&Options {
        ratchet: false,
        ..Options::default()
    });
    assert!(!passes(&upstream.findings));
}

#[test]
fn a_suppression_softens_only_what_compat_mode_lets_pass() {
    let unfit = predictor(json!({"model": {"runtime": "nowhere"}, "minReplicas": -1}));
    let object = annotated(
        unfit,
        &[
            ("stowage.dev/suppress.IS-C03", "installed by the next step"),
            ("stowage.dev/suppress.IS-V12", "I know"),
        ],
    );
    let found = findings(&object, &cluster(), Mode::Strict);
    let of = |rule: &str| found.iter().find(|finding| finding.rule.id == rule);
    let runtime = of("IS-C03").expect("it is still listed");
    assert!(!runtime.denies());
    assert_eq!(runtime.suppressed.as_deref(), Some("installed by the next step"));
    assert!(of("IS-V12").is_some_and(webhook::Finding::denies));
    assert!(of("OB-A01").is_some());

    let off = Options {
        suppressions: false,
        ..options(Mode::Strict)
    };
    let found = validate(&request(Kind::InferenceService, &object, None), &cluster(), &off);
    assert!(
        found
            .iter()
            .any(|finding| finding.rule.id == "IS-C03" && finding.denies())
    );
    assert!(found.iter().all(|finding| finding.rule.id != "OB-A01"));
}

#[test]
fn rules_that_cannot_look_anything_up_never_deny() {
    let unfit = predictor(json!({"model": {"runtime": "nowhere", "storage": {"key": "nope"}}}));
    let denied = findings(&unfit, &cluster(), Mode::Strict);
    assert!(!passes(&denied));
    let stale = findings(&unfit, &stale_cluster(), Mode::Strict);
    assert!(passes(&stale), "{}", lines(&stale));
    let told: Vec<_> = stale
        .iter()
        .filter(|finding| finding.rule.id == "OB-F01")
        .collect();
    assert!(
        told.iter()
            .any(|finding| finding.message.contains("ServingRuntimes may be out of date")),
        "{}",
        lines(&stale)
    );
    let absent = findings(&unfit, &Snapshot::default(), Mode::Strict);
    assert!(
        absent.is_empty(),
        "without context nothing is said of each object{}",
        lines(&absent)
    );

    let odd = predictor(json!({"model": {"storageUri": "s4://b/m"}}));
    let found = findings(&odd, &Snapshot::default(), Mode::Strict);
    assert!(
        passes(&found) && found.iter().any(|finding| finding.rule.id == "IS-C01"),
        "{}",
        lines(&found)
    );
}

#[test]
fn an_object_that_is_going_passes() {
    let mut going = named(predictor(json!({"minReplicas": -1})), "Iris");
    let found = findings(&going, &cluster(), Mode::Compat);
    assert!(!passes(&found));
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let old = going.clone();
    assert_eq!(
        validate(
            &request(Kind::InferenceService, &going, Some(&old)),
            &cluster(),
            &Options::default()
        ),
        []
    );
    assert!(
        !passes(&findings(&going, &cluster(), Mode::Compat)),
        "nobody creates an object that is going"
    );
}

#[test]
fn deletion_is_refused_for_caches_only() {
    let bad = predictor(json!({"minReplicas": -1}));
    let delete = |object: &Value, kind| {
        let request = Request {
            operation: Operation::Delete,
            object: None,
            ..request(kind, object, Some(object))
        };
        validate(&request, &cluster(), &Options::default())
    };
    assert_eq!(delete(&bad, Kind::InferenceService), []);
    let mut cache = object(
        Kind::LocalModelCache,
        "llama",
        json!({"sourceModelUri": "hf://meta/llama"}),
    );
    cache["status"] = json!({"inferenceServices": [{"namespace": "default", "name": "reader"}]});
    assert!(!passes(&delete(&cache, Kind::LocalModelCache)));
}

#[test]
fn everything_wrong_is_told_at_once_in_order() {
    let bad = named(
        predictor(json!({"sklearn": {}, "minReplicas": 3, "maxReplicas": 2, "logger": {"mode": "alll"}})),
        "Iris",
    );
    let found = findings(&bad, &cluster(), Mode::Compat);
    let places: Vec<String> = found
        .iter()
        .filter(|finding| finding.denies())
        .map(|finding| finding.field.to_string())
        .collect();
    let expected = [
        "metadata.name",
        "spec.predictor",
        "spec.predictor.logger.mode",
        "spec.predictor.minReplicas",
    ];
    assert_eq!(places, expected, "{}", lines(&found));
    let line = found
        .iter()
        .find(|finding| finding.rule.id == "IS-V09")
        .expect("two models")
        .to_string();
    assert_eq!(
        line,
        "spec.predictor: `spec.predictor` must have exactly one model; found `model` and `sklearn` [IS-V09]"
    );
    let line = found
        .iter()
        .find(|finding| finding.rule.id == "IS-V13a")
        .expect("a wrong mode")
        .to_string();
    assert!(
        line.ends_with("`alll` is no mode of a logger; did you mean `all`? [IS-V13a]"),
        "{line}"
    );
}

#[test]
fn suggestions_name_what_was_likely_meant() {
    for (object, rule, part) in [
        (
            predictor(json!({"model": {"modelFormat": {"name": "skleran"}}})),
            "IS-C05",
            "did you mean `sklearn`?",
        ),
        (
            predictor(json!({"model": {"modelFormat": {"name": "SKLearn"}}})),
            "IS-C05",
            "write `sklearn` to select",
        ),
        (
            predictor(json!({"model": {"modelFormat": {"name": "mlflow"}}})),
            "IS-C05",
            "`protocolVersion: v2` would select `kserve-mlserver`",
        ),
        (
            predictor(json!({"model": {"runtime": "kserve-sklearnserve"}})),
            "IS-C03",
            "did you mean `kserve-sklearnserver`?",
        ),
        (
            predictor(json!({"model": {"protocolVersion": "grpcv2"}})),
            "IS-C14",
            "did you mean `grpc-v2`?",
        ),
        (
            predictor(json!({"minReplica": 2})),
            "OB-S03",
            "did you mean `minReplicas`?",
        ),
        (
            named(predictor(json!({})), "My_Model"),
            "IS-V01",
            "`my-model` would do",
        ),
    ] {
        let found = findings(&object, &cluster(), Mode::Compat);
        let line = found
            .iter()
            .find(|finding| finding.rule.id == rule)
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(line.contains(part), "{part}: {line}{}", lines(&found));
    }
}

/// Offences beyond what is listed are one finding, and that is the same only while they are.
#[test]
fn nothing_hides_behind_a_long_list() {
    let list = |schemes: usize| -> Value {
        (0..schemes)
            .map(|n| json!({"uri": format!("x{n}://a"), "mountPath": format!("/m/{n}")}))
            .collect()
    };
    let bad = |schemes: usize, more: Value| {
        let mut object = predictor(json!({"storageUris": list(schemes), "model": {"storageUri": null}}));
        crate::objects::merge(&mut object["spec"]["predictor"], more);
        annotated(object, &[("stowage.dev/suppress.IS-C01", "mirrored by a proxy")])
    };
    let strict = options(Mode::Strict);
    let found = findings(&bad(200, json!({})), &cluster(), Mode::Strict);
    assert!(passes(&found), "all of one rule is suppressed{}", lines(&found));
    assert_eq!(
        found.iter().filter(|finding| finding.rule.id == "IS-C01").count(),
        21
    );
    let found = findings(&bad(200, json!({"minReplicas": -1})), &cluster(), Mode::Strict);
    assert!(!passes(&found), "another rule has its own place");

    let off = Options {
        suppressions: false,
        ..strict
    };
    let (old, same) = (
        bad(60, json!({})),
        annotated(bad(60, json!({})), &[("team", "a")]),
    );
    assert!(passes(&update(&old, &same, &off)));
    assert!(
        !passes(&update(&old, &bad(61, json!({})), &off)),
        "one more than before"
    );
}
