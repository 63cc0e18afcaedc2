//! What rules look up: `--context`, `--old`, and the checked objects themselves.

use super::{DENIED, Folder, GOOD, rules, service};

const RUNTIME: &str = "apiVersion: serving.kserve.io/v1alpha1\nkind: ClusterServingRuntime\nmetadata: {name: sk}\nspec:\n  \
                       supportedModelFormats: [{name: sklearn, autoSelect: true, version: '1'}]\n  protocolVersions: [v1]\n  \
                       containers: [{name: kserve-container, image: x}]\n";

fn asks_for(runtime: &str) -> String {
    service(
        "iris",
        &format!("{{model: {{modelFormat: {{name: xgboost}}, runtime: {runtime}}}}}"),
    )
}

#[test]
fn without_context_nothing_is_concluded_from_absence() {
    let folder = Folder::with(&[
        ("a.yaml", &asks_for("nowhere")),
        ("secret.yaml", "apiVersion: v1\nkind: Secret\n"),
    ]);
    let (code, report) = folder.check(&["--mode", "strict", "."]);
    assert_eq!((code, rules(&report[0], "deny")), (0, vec![]));
}

#[test]
fn context_is_the_cluster() {
    let folder = Folder::with(&[("a.yaml", &asks_for("nowhere")), ("cluster/r.yaml", RUNTIME)]);
    let (code, report) = folder.check(&["--mode", "strict", "a.yaml", "--context", "cluster"]);
    assert_eq!((code, rules(&report[0], "deny")), (1, vec!["IS-C03"]));
    // In compat mode upstream's controller finds it, later.
    let (code, report) = folder.check(&["a.yaml", "--context", "cluster"]);
    assert_eq!((code, rules(&report[0], "warn")), (0, vec!["IS-C03"]));
    // Context is not checked itself.
    assert_eq!(report.len(), 1);
}

#[test]
fn checked_objects_are_context_by_what_they_say() {
    // The runtime is known to be unfit; another one is not known to be absent.
    let folder = Folder::with(&[
        ("a.yaml", &asks_for("sk")),
        ("b.yaml", &asks_for("other")),
        ("r.yaml", RUNTIME),
    ]);
    let (code, report) = folder.check(&["--mode", "strict", "."]);
    assert_eq!(code, 1);
    assert_eq!(rules(&report[0], "deny"), ["IS-C04"]);
    assert_eq!(rules(&report[1], "deny"), [""; 0]);
}

#[test]
fn a_new_runtime_is_no_neighbor_of_itself() {
    let two = RUNTIME.replace(
        "{name: sklearn, autoSelect: true, version: '1'}",
        "{name: sklearn, autoSelect: true, version: '1', priority: 1}, \
         {name: sklearn, autoSelect: true, version: '2', priority: 2}",
    );
    assert_ne!(two, RUNTIME);
    let folder = Folder::with(&[
        ("r.yaml", &two),
        ("old/r.yaml", RUNTIME),
        (
            "cluster/other.yaml",
            &RUNTIME.replace("name: sk}", "name: other}"),
        ),
    ]);
    // Upstream compares only where it finds another runtime, or this one, to compare with.
    let (code, report) = folder.check(&["r.yaml"]);
    assert_eq!((code, rules(&report[0], "warn")), (0, vec!["SR-C01"]));
    for args in [&["r.yaml", "--context", "cluster"], &["r.yaml", "--old", "old"]] {
        let (code, report) = folder.check(args);
        assert_eq!((code, rules(&report[0], "deny")), (1, vec!["SR-V01"]), "{args:?}");
    }
}

#[test]
fn keys_are_looked_up_in_the_configured_secret_only() {
    let with_key = |metadata: &str| {
        service(
            &format!("iris{metadata}"),
            "{model: {modelFormat: {name: sklearn}, storage: {path: m, key: nope}}}",
        )
    };
    let named = |secret| {
        with_key(&format!(
            ", annotations: {{serving.kserve.io/storageSecretName: {secret}}}"
        ))
    };
    let secret = |name| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: default}}\ndata: {{minio: e30=}}\n"
        )
    };
    let folder = Folder::with(&[
        ("a.yaml", &with_key("")),
        ("b.yaml", &named("storage-config")),
        ("c.yaml", &named("other")),
        ("cluster/secret.yaml", &secret("storage-config")),
        ("cluster/other.yaml", &secret("other")),
    ]);
    for (file, expected) in [
        ("a.yaml", &["IS-C16"][..]),
        ("b.yaml", &["IS-C16"]),
        ("c.yaml", &[]),
    ] {
        let (_, report) = folder.check(&["--mode", "strict", file, "--context", "cluster"]);
        assert_eq!(rules(&report[0], "deny"), expected, "{file}");
    }
}

#[test]
fn the_configuration_comes_from_context() {
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: inferenceservice-config}\ndata:\n  deploy: \
                  '{\"defaultDeploymentMode\": \"Standard\"}'\n";
    let folder = Folder::with(&[("a.yaml", &service("iris", GOOD)), ("config.yaml", config)]);
    let mode = |args: &[&str]| {
        let (code, report) = folder.check(args);
        assert_eq!(code, 0);
        report[0]["defaulted"]["metadata"]["annotations"]["serving.kserve.io/deploymentMode"].clone()
    };
    assert_eq!(mode(&["a.yaml", "--context", "config.yaml"]), "Standard");
    assert_ne!(mode(&["a.yaml"]), "Standard");
    // One that cannot be read is said.
    let broken = Folder::with(&[
        ("a.yaml", &service("iris", GOOD)),
        ("config.yaml", &config.replace("Standard", "Fast")),
    ]);
    let done = broken.run(&["check", "a.yaml", "--context", "config.yaml"]);
    assert_eq!(done.code, 2);
    assert!(
        done.stderr.contains("`Knative`, `Standard` or `ModelMesh`"),
        "{}",
        done.stderr
    );
}

#[test]
fn an_old_offence_passes_unless_ratcheting_is_off() {
    let folder = Folder::with(&[
        ("new.yaml", &service("iris", DENIED)),
        ("old/iris.yaml", &service("iris", DENIED)),
        ("other/iris.yaml", &service("iris", &DENIED.replace('3', "4"))),
    ]);
    let (code, report) = folder.check(&["new.yaml", "--old", "old"]);
    assert_eq!((code, rules(&report[0], "warn")), (0, vec!["IS-V12"]));
    let (code, _) = folder.check(&["new.yaml", "--old", "old", "--ratchet", "off"]);
    assert_eq!(code, 1);
    let (code, _) = folder.check(&["new.yaml", "--old", "other"]);
    assert_eq!(code, 1, "it is another offence");
    let (code, _) = folder.check(&["new.yaml"]);
    assert_eq!(code, 1);
}

#[test]
fn warnings_fail_only_when_asked_and_not_when_suppressed() {
    let odd = "{model: {modelFormat: {name: sklearn}, protocolVersion: v3}}";
    let folder = Folder::with(&[
        ("odd.yaml", &service("iris", odd)),
        (
            "meant.yaml",
            &service(
                "iris, annotations: {stowage.dev/suppress.IS-C14: a private protocol}",
                odd,
            ),
        ),
    ]);
    assert_eq!(folder.check(&["odd.yaml"]).0, 0);
    assert_eq!(folder.check(&["odd.yaml", "--fail-on", "warn"]).0, 1);
    let (code, report) = folder.check(&["meant.yaml", "--fail-on", "warn", "--mode", "strict"]);
    assert_eq!(code, 0);
    assert_eq!(report[0]["allowed"], true);
    assert_eq!(report[0]["findings"][0]["suppressed"], "a private protocol");
}
