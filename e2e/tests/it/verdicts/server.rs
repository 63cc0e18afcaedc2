//! Asks the API server for dry runs, and reads its warnings, which clients print and drop.

use std::collections::BTreeMap;

use e2e::cluster::Cluster;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use kube::{Client, client::Body};
use serde_json::{Value, json};

use super::objects::Object;

/// Requests at once.
const AT_ONCE: usize = 16;

/// Who refused an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// A webhook, by its name.
    Webhook(String),
    /// A policy, by its name.
    Policy(String),
    /// The schema and the rules of the definition, or what holds for every kind.
    Definition,
}

/// A cause of a refusal.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) field: String,
}

/// What the API server would do with an object.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// Store it like this; null where another one has its name, which is noticed last.
    Taken(Value),
    /// Refuse it.
    Refused {
        by: By,
        message: String,
        causes: Vec<Cause>,
    },
}

/// What the API server says.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    pub(super) warnings: Vec<String>,
}

/// The API server, and which versions it stored.
pub(super) struct Server {
    client: Client,
    versions: BTreeMap<String, Value>,
}

impl Server {
    pub(super) fn new(cluster: &Cluster) -> Self {
        Self {
            client: cluster.client().unwrap(),
            versions: BTreeMap::new(),
        }
    }

    /// Makes the namespaces of the objects, and stores what they replace. Gives back those that can be asked about: what
    /// the API server does not store cannot be updated.
    pub(super) async fn store(&mut self, objects: Vec<Object>) -> Vec<Object> {
        let names = objects.iter().filter_map(Object::namespace);
        let names = names.filter(|name| *name != "default").map(str::to_owned);
        let sent = stream::iter(names).map(async |name| {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            let answer = self.send(Method::POST, "/api/v1/namespaces", "", &object).await?;
            anyhow::ensure!(matches!(answer.outcome, Outcome::Taken(_)), "{name}: {answer:?}");
            Ok(())
        });
        sent.buffer_unordered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await
            .unwrap();

        let mut kept = Vec::new();
        for object in objects {
            if let Some(old) = &object.old {
                let path = collection(&object);
                let answer = self.send(Method::POST, &path, "", old).await.unwrap();
                let Outcome::Taken(mut stored) = answer.outcome else {
                    continue;
                };
                if let Some(status) = old.get("status") {
                    stored["status"] = status.clone();
                    let path = format!("{path}/{}/status", name(&stored));
                    let answer = self.send(Method::PUT, &path, "", &stored).await.unwrap();
                    let Outcome::Taken(with_status) = answer.outcome else {
                        panic!("{object}: {answer:?}");
                    };
                    stored = with_status;
                }
                let version = stored["metadata"]["resourceVersion"].clone();
                self.versions.insert(item(&object, old), version);
            }
            kept.push(object);
        }
        kept
    }

    /// What would be done with the objects, in their order. They are sent as `form` makes them.
    pub(super) async fn ask<'o>(
        &self,
        objects: &'o [Object],
        form: impl Fn(usize, &'o Object) -> &'o Value,
    ) -> Vec<Answer> {
        let requests = objects
            .iter()
            .enumerate()
            .map(|(number, object)| self.dry_run(object, form(number, object).clone()));
        stream::iter(requests)
            .buffered(AT_ONCE)
            .try_collect()
            .await
            .unwrap()
    }

    async fn dry_run(&self, object: &Object, mut value: Value) -> anyhow::Result<Answer> {
        const DRY: &str = "&dryRun=All";
        if object.old.is_none() {
            return self.send(Method::POST, &collection(object), DRY, &value).await;
        }
        let path = item(object, &value);
        // An update names the version that it is about.
        value["metadata"]["resourceVersion"] = self.versions[&path].clone();
        self.send(Method::PUT, &path, DRY, &value).await
    }

    async fn send(&self, method: Method, path: &str, query: &str, object: &Value) -> anyhow::Result<Answer> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}?fieldValidation=Ignore{query}"))
            .header("content-type", "application/json")
            .body(Body::from(object.to_string().into_bytes()))?;
        let (head, body) = self.client.send(request).await?.into_parts();
        let body: Value = serde_json::from_slice(&body.collect().await?.to_bytes())?;
        let warnings = head.headers.get_all("warning").iter();
        let warnings = warnings
            .filter_map(|value| std::str::from_utf8(value.as_bytes()).ok())
            .map(unquoted)
            .collect();
        let outcome = if head.status.is_success() {
            Outcome::Taken(body)
        } else if body["reason"] == "AlreadyExists" {
            Outcome::Taken(Value::Null)
        } else {
            refused(&body)
        };
        Ok(Answer { outcome, warnings })
    }
}

/// The text in `299 - "text"`.
fn unquoted(value: &str) -> String {
    let text = value
        .strip_prefix("299 - \"")
        .and_then(|text| text.strip_suffix('"'));
    let text = text.unwrap_or_else(|| panic!("a warning of another form: {value}"));
    text.replace("\\\"", "\"").replace("\\\\", "\\")
}

fn refused(status: &Value) -> Outcome {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let message = text(&status["message"]);
    let named = |before: &str, end: char| {
        let (_, rest) = message.split_once(before)?;
        Some(rest.split_once(end)?.0.to_owned())
    };
    let by = if let Some(name) = named("admission webhook \"", '"') {
        By::Webhook(name)
    } else if let Some(name) = named("ValidatingAdmissionPolicy '", '\'') {
        By::Policy(name)
    } else {
        By::Definition
    };
    let causes = status["details"]["causes"].as_array().into_iter().flatten();
    let causes = causes.map(|cause| Cause {
        reason: text(&cause["reason"]),
        message: text(&cause["message"]),
        field: text(&cause["field"]),
    });
    Outcome::Refused {
        by,
        causes: causes.collect(),
        message,
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn collection(object: &Object) -> String {
    let (version, plural) = (object.kind.api_version(), object.kind.plural());
    match object.namespace() {
        Some(namespace) => format!("/apis/{version}/namespaces/{namespace}/{plural}"),
        None => format!("/apis/{version}/{plural}"),
    }
}

/// Where the object is, as `value` names it.
fn item(object: &Object, value: &Value) -> String {
    format!("{}/{}", collection(object), name(value))
}
