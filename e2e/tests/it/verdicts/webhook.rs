//! The running webhook, called by the API server.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Answer, By, Object, Outcome, Site, Verdict, refused_early};
use crate::webhook::{
    server::Server,
    site::{call, call_no_more, certificate, webhooks},
};

const NAME: &str = "verdicts";

/// Asks about every object as it was written, and says where the answer is not `check`'s.
pub(super) async fn compare(site: &Site, mode: &str, verdicts: &[Verdict]) -> Vec<String> {
    let folder = certificate(&site.cluster);
    let folder = folder.path().to_str().unwrap();
    let args = ["--cert-dir", folder, "--namespace", "kserve", "--mode", mode];
    // Everything is stored by now, so the first lists of its watches have it all.
    let server = Server::start(site.cluster.kubeconfig(), None, &args)
        .await
        .unwrap();
    server.ready().await.unwrap();
    call(&site.cluster, NAME, &server.addr, |configuration| {
        for webhook in webhooks(configuration) {
            webhook["failurePolicy"] = "Fail".into();
        }
    })
    .await;
    let answers = site.server.ask(&site.objects, |_, object| &object.value).await;
    call_no_more(&site.cluster, NAME).await;
    let all = site.objects.iter().zip(verdicts).zip(&answers);
    all.filter_map(|((object, verdict), answer)| difference(object, mode, verdict, answer))
        .map(|failure| format!("webhook, {mode}: {failure}"))
        .collect()
}

fn difference(object: &Object, mode: &str, verdict: &Verdict, answer: &Answer) -> Option<String> {
    let (warned, is_cut) = warned(&answer.warnings);
    match &answer.outcome {
        Outcome::Taken(_) if !verdict.is_allowed() => Some(format!("{object}: taken, {verdict:?}")),
        Outcome::Taken(stored) => {
            let missing = !is_cut && warned != verdict.warned_by;
            if missing || !warned.is_subset(&verdict.warned_by) {
                return Some(format!(
                    "{object}: {:?}, {:?}",
                    answer.warnings, verdict.warned_by
                ));
            }
            let (found, expected) = (content(stored), content(&verdict.defaulted));
            (!stored.is_null() && found != expected)
                .then(|| format!("{object}: defaulted to {found}, by check to {expected}"))
        }
        Outcome::Refused {
            by: By::Definition,
            message,
            ..
        } => refused_early(object, mode, verdict, message),
        Outcome::Refused { by, message, causes } => {
            let denied: BTreeSet<String> = causes.iter().map(|cause| cause.reason.clone()).collect();
            // When defaulting is denied, nobody looks further.
            let is_last = matches!(by, By::Webhook(name) if name.contains(".validator."));
            let same = if is_last {
                denied == verdict.denied_by && (is_cut || warned == verdict.warned_by)
            } else {
                !denied.is_empty() && denied.is_subset(&verdict.denied_by)
            };
            let told = denied
                .iter()
                .all(|rule| message.contains(&format!("[{rule}]")) || message.contains(" more"));
            (!same || !told).then(|| format!("{object}: {message} {:?}, {verdict:?}", answer.warnings))
        }
    }
}

/// The rules at the ends of warnings, and whether there were more than a response has room for.
fn warned(warnings: &[String]) -> (BTreeSet<String>, bool) {
    let is_rest = |text: &String| text.ends_with("lists all of them");
    let rule = |text: &String| {
        let inside = text
            .strip_suffix(']')
            .and_then(|text| text.rsplit_once('['))
            .map(|(_, rule)| rule.to_owned());
        inside.unwrap_or_else(|| format!("a warning without a rule: {text}"))
    };
    let rules = warnings.iter().filter(|text| !is_rest(text)).map(rule);
    (rules.collect(), warnings.iter().any(is_rest))
}

/// What people write of an object; without what only a server writes, and without nulls, which it does not store.
fn content(object: &Value) -> Value {
    fn without_nulls(value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                let kept = members.iter().filter(|(_, value)| !value.is_null());
                kept.map(|(key, value)| (key.clone(), without_nulls(value)))
                    .collect()
            }
            Value::Array(items) => items.iter().map(without_nulls).collect(),
            other => other.clone(),
        }
    }
    let metadata = &object["metadata"];
    without_nulls(&json!({
        "spec": object["spec"], "annotations": metadata["annotations"], "labels": metadata["labels"],
    }))
}
