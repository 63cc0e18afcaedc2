//! `stowage-webhook policies` on a real API server: every policy is accepted and typed, and gives `check`'s verdicts.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod objects;
mod server;

use std::collections::BTreeSet;

use e2e::{
    cluster::{Cluster, Component, Options},
    process::{self, root},
};
use serde_json::Value;

use self::{
    objects::{Object, Verdict},
    server::{Answer, Server},
};
use crate::support::SOON;

/// The manifests, one JSON value each.
async fn policies(cluster: &Cluster, mode: &str) -> Vec<Value> {
    let webhook = process::binary("stowage-webhook").unwrap();
    let done = process::run(webhook, ["policies", "--mode", mode]).await.unwrap();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    // kubectl reads YAML: what it makes of it is what a cluster gets.
    let create = ["create", "--dry-run=client", "-o", "json", "-f", "-"];
    let read = cluster.admin().kubectl_with(&create, &done.stdout).await.unwrap();
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    let items = serde_json::Deserializer::from_str(&read.stdout).into_iter::<Value>();
    items
        .map(|item| item.expect("kubectl prints JSON"))
        .flat_map(|item| match item["items"].as_array() {
            Some(items) => items.clone(),
            None => vec![item],
        })
        .collect()
}

/// Applies the manifests and returns when the API server acts by them.
async fn apply(cluster: &Cluster, manifests: &[Value]) {
    let texts: Vec<String> = manifests.iter().map(Value::to_string).collect();
    let text = texts.join("\n---\n");
    cluster.apply_yaml(&text).await.unwrap();
    cluster.admission_settled().await.unwrap();
}

/// Waits for the type check of every policy, and fails with what it found.
async fn assert_typed(cluster: &Cluster, count: usize) {
    let checked = process::eventually("type checks of the policies", SOON, async || {
        let get = ["get", "validatingadmissionpolicies", "-o", "json"];
        let list: Value = serde_json::from_str(&cluster.kubectl(&get).await?.stdout)?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let done = items
            .iter()
            .all(|policy| policy["status"]["observedGeneration"] == policy["metadata"]["generation"]);
        Ok((done && items.len() >= count).then_some(items))
    })
    .await
    .unwrap();
    let complaints: Vec<String> = checked
        .iter()
        .filter_map(|policy| {
            let warnings = policy["status"]["typeChecking"]["expressionWarnings"].as_array()?;
            let expressions = (&policy["spec"]["variables"], &policy["spec"]["validations"]);
            (!warnings.is_empty())
                .then(|| format!("{}: {warnings:#?}\n{expressions:#?}", policy["metadata"]["name"]))
        })
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// The rules that have a policy.
fn stateless(manifests: &[Value]) -> BTreeSet<String> {
    manifests
        .iter()
        .filter_map(|manifest| manifest["metadata"]["labels"]["stowage.dev/rule"].as_str())
        .map(str::to_owned)
        .collect()
}

/// What is wrong when the API server, whose policies all warn, says this about the object.
fn compare(
    object: &Object,
    verdict: &Verdict,
    answer: &Answer,
    stateless: &BTreeSet<String>,
) -> Option<String> {
    let told = match answer {
        // The schema refuses what rules look at; they have to have found something too.
        Answer::Refused(message) => {
            return verdict
                .rules
                .is_empty()
                .then(|| format!("{object}: the schema refuses what check takes: {message}"));
        }
        Answer::Taken { warnings } => warnings,
    };
    // The schema of the CRD leaves open what check can tell; policies then have nothing to say.
    if verdict.rules.contains("OB-S01") || verdict.rules.contains("OB-K01") {
        return None;
    }
    let wanted: BTreeSet<&String> = verdict.rules.intersection(stateless).collect();
    let found: BTreeSet<&String> = told.iter().filter(|rule| stateless.contains(*rule)).collect();
    (wanted != found).then(|| format!("{object}: check finds {wanted:?}, the policies {told:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_policy_is_accepted_and_finds_what_check_finds() {
    let cluster = Cluster::start(Options {
        // Type checks are its work.
        controller_manager: true,
        ..Options::default()
    })
    .await
    .unwrap();
    cluster
        .install_crds(&root().join("manifests/crds"))
        .await
        .unwrap();
    let server = Server::new(&cluster);
    let mut objects = objects::own();
    objects.extend(objects::corpus());

    // Each update needs an object that is stored, whatever rules it breaks.
    let mut failures = Vec::new();
    let mut asked = Vec::new();
    for object in objects {
        if let Some(old) = &object.old
            && let Answer::Refused(message) = server.store(old).await
        {
            // What the schema refuses by now cannot be updated either.
            failures.extend(
                object
                    .needs_old
                    .then(|| format!("{object}: the old one: {message}")),
            );
            continue;
        }
        asked.push(object);
    }

    let mut manifests = policies(&cluster, "strict").await;
    let stateless = stateless(&manifests);
    let strict = manifests.clone();
    for binding in &mut manifests {
        if binding["kind"] == "ValidatingAdmissionPolicyBinding" {
            binding["spec"]["validationActions"] = serde_json::json!(["Warn"]);
        }
    }
    apply(&cluster, &manifests).await;
    assert_typed(&cluster, stateless.len()).await;

    let verdicts = objects::check(&asked).await;
    for (object, verdict) in asked.iter().zip(&verdicts) {
        let answer = server.ask(object, &verdict.defaulted).await;
        failures.extend(compare(object, verdict, &answer, &stateless));
    }

    // The same, as they would be installed.
    apply(&cluster, &strict).await;
    for (object, verdict) in asked.iter().zip(&verdicts) {
        let denied = verdict.denied_by.intersection(&stateless).next().is_some();
        let answer = server.ask(object, &verdict.defaulted).await;
        let taken = matches!(answer, Answer::Taken { .. });
        if denied && taken {
            failures.push(format!(
                "{object}: denied by check ({:?}), not by policies",
                verdict.denied_by
            ));
        }
        if !taken && verdict.rules.is_empty() {
            failures.push(format!("{object}: allowed by check, {answer:?}"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}\n{}",
        failures.len(),
        asked.len(),
        failures.join("\n"),
        cluster
            .output(Component::ApiServer)
            .unwrap()
            .lines()
            .filter(|line| line.contains("panic"))
            .collect::<String>(),
    );
}
