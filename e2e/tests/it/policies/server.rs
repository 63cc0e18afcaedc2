//! Asks the API server for a dry run, and reads its warnings, which clients print and drop.

use e2e::cluster::Cluster;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use kube::{Client, client::Body};
use serde_json::Value;

use super::objects::Object;

/// What the API server says.
#[derive(Debug)]
pub(super) enum Answer {
    Refused(String),
    /// With the rules that policies warned of.
    Taken {
        warnings: Vec<String>,
    },
}

pub(super) struct Server(Client);

impl Server {
    pub(super) fn new(cluster: &Cluster) -> Self {
        Self(cluster.client().unwrap())
    }

    /// Stores an object.
    pub(super) async fn store(&self, object: &Value) -> Answer {
        self.send(Method::POST, &collection(object), "", object).await
    }

    /// Whether the object would be stored as it is after defaulting.
    pub(super) async fn ask(&self, object: &Object, defaulted: &Value) -> Answer {
        const DRY: &str = "&dryRun=All";
        let path = collection(defaulted);
        if object.old.is_none() {
            return self.send(Method::POST, &path, DRY, defaulted).await;
        }
        let name = defaulted["metadata"]["name"].as_str().unwrap_or_default();
        let newer = self.at_version(&path, name, defaulted).await;
        self.send(Method::PUT, &format!("{path}/{name}"), DRY, &newer)
            .await
    }

    /// An update names the version that it is about.
    async fn at_version(&self, path: &str, name: &str, object: &Value) -> Value {
        let request = Request::get(format!("{path}/{name}"))
            .body(Body::empty())
            .unwrap();
        let response = self.0.send(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let stored: Value = serde_json::from_slice(&body).unwrap();
        let mut object = object.clone();
        object["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
        object
    }

    async fn send(&self, method: Method, path: &str, query: &str, object: &Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}?fieldValidation=Ignore{query}"))
            .header("content-type", "application/json")
            .body(Body::from(object.to_string().into_bytes()))
            .unwrap();
        let response = self.0.send(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        if !head.status.is_success() {
            let status: Value = serde_json::from_slice(&body).unwrap_or_default();
            return Answer::Refused(status["message"].as_str().unwrap_or_default().to_owned());
        }
        let warnings = head.headers.get_all("warning").iter();
        let texts = warnings.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
        Answer::Taken {
            warnings: texts
                .filter(|text| text.contains("Validation failed") || text.contains("stowage"))
                .map(rule)
                .collect(),
        }
    }
}

/// The rule in `299 - "Validation failed for ValidatingAdmissionPolicy ...: ... [IS-V01]"`, or the whole warning.
fn rule(warning: &str) -> String {
    let inside = warning
        .rsplit_once('[')
        .and_then(|(_, rest)| rest.split_once(']'));
    inside.map_or(warning, |(rule, _)| rule).to_owned()
}

fn collection(object: &Value) -> String {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
    let plural = if kind.ends_with('e') || !kind.ends_with('s') {
        format!("{kind}s")
    } else {
        kind
    };
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("/apis/{version}/namespaces/{namespace}/{plural}"),
        None if CLUSTER.contains(&plural.as_str()) => format!("/apis/{version}/{plural}"),
        None => format!("/apis/{version}/namespaces/default/{plural}"),
    }
}

const CLUSTER: [&str; 3] = [
    "clusterservingruntimes",
    "localmodelcaches",
    "clusterstoragecontainers",
];
