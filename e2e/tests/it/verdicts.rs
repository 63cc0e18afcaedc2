//! One verdict, whoever is asked: `stowage-webhook check`, the webhook in front of a real API server, the admission
//! policies for the rules that look at an object alone, and the rules that definitions carry.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod check;
mod definitions;
mod objects;
mod policies;
mod server;
mod webhook;

use std::fs;

use e2e::{
    cluster::{Cluster, Options},
    process::root,
};
use serde_json::Value;
use tempfile::TempDir;

use self::{
    check::{Verdict, check},
    objects::Object,
    server::{Answer, By, Outcome, Server},
};

/// What rules look up.
const CONTEXT: &str = "e2e/tests/it/verdicts/context.yaml";
/// Definitions of kinds that are only looked up.
const LOOKED_UP: &str = "e2e/tests/it/verdicts/crds";
/// The definitions that are shipped.
const SHIPPED: &str = "manifests/crds";

const STRICT: &str = "strict";
const COMPAT: &str = "compat";

/// A control plane that has what rules look up, and the objects that can be asked about.
struct Site {
    cluster: Cluster,
    server: Server,
    objects: Vec<Object>,
}

impl Site {
    async fn new(definitions: &std::path::Path) -> Self {
        let cluster = Cluster::start(Options {
            // Type checks of policies are its work.
            controller_manager: true,
            ..Options::default()
        })
        .await
        .unwrap();
        for folder in [definitions, &root().join(LOOKED_UP)] {
            cluster.install_crds(folder).await.unwrap();
        }
        let context = fs::read_to_string(root().join(CONTEXT)).unwrap();
        cluster.apply_yaml(&context).await.unwrap();
        let mut server = Server::new(&cluster);
        let objects = server.store(objects::all()).await;
        Self {
            cluster,
            server,
            objects,
        }
    }
}

/// The shipped definitions without their rules, so that what these deny reaches webhooks and policies.
fn without_rules() -> TempDir {
    fn strip(schema: &mut Value) {
        match schema {
            Value::Object(members) => {
                members.remove("x-kubernetes-validations");
                members.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let folder = TempDir::new().unwrap();
    let files = fs::read_dir(root().join(SHIPPED)).unwrap();
    for file in files.map(|file| file.unwrap()) {
        let text = fs::read_to_string(file.path()).unwrap();
        let mut definition: Value = serde_saphyr::from_str(&text).unwrap();
        strip(&mut definition);
        fs::write(folder.path().join(file.file_name()), definition.to_string()).unwrap();
    }
    folder
}

/// What is wrong when the definition refuses an object: `check` denies it too, or in `compat`, where upstream's
/// definitions would take it, warns. Names are an exception: for every kind there are names that no API server takes, and
/// rules do not repeat that.
fn refused_early(object: &Object, mode: &str, verdict: &Verdict, message: &str) -> Option<String> {
    let is_told = !verdict.is_allowed() || mode == COMPAT && !verdict.warned_by.is_empty();
    let is_name = message.contains("metadata.name: Invalid value");
    (!is_told && !is_name).then(|| format!("{object}: the API server refuses what check takes: {message}"))
}

/// Fails with everything that went wrong.
fn report(failures: &[String], asked: usize) {
    assert!(
        failures.is_empty(),
        "{} of {asked}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_policies_and_check_agree() {
    let site = Site::new(without_rules().path()).await;
    let mut failures = Vec::new();
    let mut modes = Vec::new();
    for mode in [STRICT, COMPAT] {
        let verdicts = check(&site.objects, mode).await;
        failures.extend(webhook::compare(&site, mode, &verdicts).await);
        modes.push((mode, verdicts));
    }
    // Policies stay once they are there.
    for (mode, verdicts) in &modes {
        failures.extend(policies::compare(&site, mode, verdicts).await);
    }
    report(&failures, site.objects.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_definitions_deny_what_check_denies() {
    let site = Site::new(&root().join(SHIPPED)).await;
    let (mut failures, mut seen) = (Vec::new(), definitions::Seen::new());
    for mode in [STRICT, COMPAT] {
        let verdicts = check(&site.objects, mode).await;
        failures.extend(definitions::compare(&site, mode, &verdicts, &mut seen).await);
    }
    failures.extend(definitions::unproved(&seen));
    report(&failures, site.objects.len());
}
