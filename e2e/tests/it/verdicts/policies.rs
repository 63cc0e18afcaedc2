//! `stowage-webhook policies`: every policy is accepted and typed, and finds what `check` finds.

use std::collections::{BTreeMap, BTreeSet};

use e2e::{cluster::Cluster, process};
use serde_json::{Value, json};

use super::{Answer, By, Object, Outcome, Site, Verdict, refused_early};
use crate::support::SOON;

/// Asks about every object as it is after defaulting, and says where policies do not find what `check` finds.
pub(super) async fn compare(site: &Site, mode: &str, verdicts: &[Verdict]) -> Vec<String> {
    let manifests = manifests(&site.cluster, mode).await;
    let rules = rules(&manifests);
    let ask = || {
        let form = |number: usize, _: &Object| &verdicts[number].defaulted;
        site.server.ask(&site.objects, form)
    };
    // One that only warns does not hide what others find.
    let warning = manifests.iter().cloned().map(|mut manifest| {
        if manifest["kind"] == "ValidatingAdmissionPolicyBinding" {
            manifest["spec"]["validationActions"] = json!(["Warn"]);
        }
        manifest
    });
    apply(&site.cluster, &warning.collect::<Vec<_>>()).await;
    assert_typed(&site.cluster, rules.len()).await;
    let warned = ask().await;
    // As they would be installed.
    apply(&site.cluster, &manifests).await;
    let denied = ask().await;

    let mut failures = Vec::new();
    for (number, object) in site.objects.iter().enumerate() {
        let verdict = &verdicts[number];
        failures.extend(difference(object, mode, verdict, &warned[number], &rules));
        failures.extend(wrong_action(object, mode, verdict, &denied[number], &rules));
    }
    let name = |failure| format!("policies, {mode}: {failure}");
    failures.into_iter().map(name).collect()
}

/// The manifests, one JSON value each.
async fn manifests(cluster: &Cluster, mode: &str) -> Vec<Value> {
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
    cluster.apply_yaml(&texts.join("\n---\n")).await.unwrap();
    cluster.admission_settled().await.unwrap();
}

/// Waits for the type check of every policy, and fails with what it found.
async fn assert_typed(cluster: &Cluster, count: usize) {
    let checked = process::eventually("type checks of the policies", SOON, async || {
        let get = [
            "get",
            "validatingadmissionpolicies",
            "-l",
            "stowage.dev/rule",
            "-o",
            "json",
        ];
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

/// The rules that have a policy, by its name.
fn rules(manifests: &[Value]) -> BTreeMap<String, String> {
    let policies = manifests
        .iter()
        .filter(|manifest| manifest["kind"] == "ValidatingAdmissionPolicy");
    let text = |value: &Value| value.as_str().expect("a name").to_owned();
    policies
        .map(|policy| &policy["metadata"])
        .map(|metadata| {
            (
                text(&metadata["name"]),
                text(&metadata["labels"]["stowage.dev/rule"]),
            )
        })
        .collect()
}

/// What is wrong when the policies, which all warn, say this about the object.
fn difference(
    object: &Object,
    mode: &str,
    verdict: &Verdict,
    answer: &Answer,
    rules: &BTreeMap<String, String>,
) -> Option<String> {
    if let Outcome::Refused { message, .. } = &answer.outcome {
        return refused_early(object, mode, verdict, message);
    }
    // The schema of the definition leaves open what check can tell; policies then have nothing to say.
    if verdict.denied_by.contains("OB-S01") {
        return None;
    }
    let stateless: BTreeSet<&String> = rules.values().collect();
    let all = verdict.rules();
    let wanted: BTreeSet<&String> = all.iter().filter(|rule| stateless.contains(rule)).collect();
    let found: Option<BTreeSet<&String>> = answer
        .warnings
        .iter()
        .map(|text| policy_of(text).and_then(|policy| rules.get(policy)))
        .collect();
    (found.as_ref() != Some(&wanted)).then(|| {
        format!(
            "{object}: check finds {wanted:?}, the policies {:?}",
            answer.warnings
        )
    })
}

/// The policy that a warning is from, unless it failed itself.
fn policy_of(warning: &str) -> Option<&str> {
    let (_, rest) = warning.split_once("Validation failed for ValidatingAdmissionPolicy '")?;
    Some(rest.split_once('\'')?.0)
}

/// What is wrong when the policies, as they are installed, do this with the object.
fn wrong_action(
    object: &Object,
    mode: &str,
    verdict: &Verdict,
    answer: &Answer,
    rules: &BTreeMap<String, String>,
) -> Option<String> {
    let is_denied = rules.values().any(|rule| verdict.denied_by.contains(rule));
    match &answer.outcome {
        Outcome::Taken(_) => {
            is_denied.then(|| format!("{object}: denied by check ({:?}) only", verdict.denied_by))
        }
        Outcome::Refused {
            by: By::Policy(policy),
            message,
            ..
        } => {
            let rule = rules.get(policy);
            (!rule.is_some_and(|rule| verdict.denied_by.contains(rule)))
                .then(|| format!("{object}: {message} {:?}", verdict.denied_by))
        }
        Outcome::Refused { message, .. } => refused_early(object, mode, verdict, message),
    }
}
