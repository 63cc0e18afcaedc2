//! Webhooks that the API server calls on loopback, and knowing when it does.

use k8s_openapi::api::{
    admissionregistration::v1::{
        MutatingWebhookConfiguration, RuleWithOperations, ValidatingAdmissionPolicy,
        ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration,
    },
    core::v1::ConfigMap,
};
use kube::{
    Api, Client, Error, Resource,
    api::{DeleteParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Cluster, SOON};
use crate::process;

/// What a webhook does with the objects that it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookKind {
    /// Changes them.
    Mutating,
    /// Allows or denies them.
    Validating,
}

/// What happens when a webhook cannot be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailurePolicy {
    /// The request fails.
    Fail,
    /// The request goes on.
    Ignore,
}

/// A webhook outside the cluster, under a URL.
#[derive(Clone, Debug)]
pub struct Webhook<'a> {
    /// Mutating or validating.
    pub kind: WebhookKind,
    /// Name of the webhook and of its configuration: at least three parts with dots.
    pub name: &'a str,
    /// `https://127.0.0.1:port/path`.
    pub url: &'a str,
    /// PEM of the authority that signed its certificate.
    pub authority: &'a str,
    /// Which requests it gets; see [`requests`].
    pub rules: Vec<RuleWithOperations>,
    /// Only those for objects in this namespace.
    pub namespace: Option<&'a str>,
    /// When it cannot be called.
    pub failure_policy: FailurePolicy,
    /// How long it may take, in seconds: 1 to 30.
    pub timeout_seconds: u8,
}

/// Requests with these operations (`CREATE`, `UPDATE`, `DELETE`) for resources of an API group, in all its versions.
pub fn requests(group: &str, resources: &[&str], operations: &[&str]) -> RuleWithOperations {
    let own = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
    RuleWithOperations {
        api_groups: own(&[group]),
        api_versions: own(&["*"]),
        operations: own(operations),
        resources: own(resources),
        ..RuleWithOperations::default()
    }
}

impl Cluster {
    /// Registers a webhook and returns when the API server calls it.
    pub async fn register(&self, webhook: &Webhook<'_>) -> anyhow::Result<()> {
        let client = self.client()?;
        let object = configuration(webhook);
        match webhook.kind {
            WebhookKind::Mutating => {
                create::<MutatingWebhookConfiguration>(&client, object).await?;
            }
            WebhookKind::Validating => {
                create::<ValidatingWebhookConfiguration>(&client, object).await?;
            }
        }
        self.admission_settled().await
    }

    /// Waits until the API server acts on every webhook configuration, admission policy and binding as it is now.
    ///
    /// It learns of them by watching, each kind in the order of changes. So a configuration of each kind that comes last
    /// and refuses one name each is in force only after all that came before.
    pub async fn admission_settled(&self) -> anyhow::Result<()> {
        let client = self.client()?;
        let name = super::unique("probe");
        let result = settled(&client, &name).await;
        // Also after a failure: what stays here would be called for every ConfigMap.
        let removed = remove_probes(&client, &name).await;
        result.and(removed)
    }
}

fn configuration(webhook: &Webhook<'_>) -> Value {
    use base64::{Engine as _, prelude::BASE64_STANDARD};

    let selector = webhook
        .namespace
        .map(|namespace| json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}}));
    let failure_policy = match webhook.failure_policy {
        FailurePolicy::Fail => "Fail",
        FailurePolicy::Ignore => "Ignore",
    };
    json!({
        "metadata": {"name": webhook.name},
        "webhooks": [{
            "name": webhook.name,
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": webhook.url, "caBundle": BASE64_STANDARD.encode(webhook.authority)},
            "failurePolicy": failure_policy,
            "namespaceSelector": selector,
            "rules": webhook.rules,
            "sideEffects": "None",
            "timeoutSeconds": webhook.timeout_seconds,
        }],
    })
}

/// Name of the ConfigMap that only the probe of this kind refuses.
fn refused(name: &str, kind: &str) -> String {
    format!("{name}-{kind}")
}

async fn settled(client: &Client, name: &str) -> anyhow::Result<()> {
    let webhook = |kind: &str| {
        let name = refused(name, kind);
        json!({
            "metadata": {"name": name},
            "webhooks": [{
                "name": format!("{name}.stowage.test"),
                "admissionReviewVersions": ["v1"],
                // Nobody listens there: with this policy, every call is a refusal.
                "clientConfig": {"url": "https://127.0.0.1:1/"},
                "failurePolicy": "Fail",
                "matchConditions": [{"name": "probe", "expression": format!("object.metadata.name == '{name}'")}],
                "rules": [requests("", &["configmaps"], &["CREATE"])],
                "sideEffects": "None",
                "timeoutSeconds": 1,
            }],
        })
    };
    create::<MutatingWebhookConfiguration>(client, webhook("mutating")).await?;
    create::<ValidatingWebhookConfiguration>(client, webhook("validating")).await?;
    let policy = refused(name, "policy");
    create::<ValidatingAdmissionPolicy>(
        client,
        json!({
            "metadata": {"name": policy},
            "spec": {
                "matchConstraints": {"resourceRules": [requests("", &["configmaps"], &["CREATE"])]},
                "validations": [{"expression": format!("object.metadata.name != '{policy}'")}],
            },
        }),
    )
    .await?;
    create::<ValidatingAdmissionPolicyBinding>(
        client,
        json!({
            "metadata": {"name": policy},
            "spec": {"policyName": policy, "validationActions": ["Deny"]},
        }),
    )
    .await?;
    for kind in ["mutating", "validating", "policy"] {
        wait_for_refusal(client, &refused(name, kind)).await?;
    }
    Ok(())
}

async fn wait_for_refusal(client: &Client, name: &str) -> anyhow::Result<()> {
    let objects = Api::<ConfigMap>::namespaced(client.clone(), "default");
    let object: ConfigMap = serde_json::from_value(json!({"metadata": {"name": name}}))?;
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    process::eventually(name, SOON, async || {
        match objects.create(&dry_run, &object).await {
            Ok(_) => Ok(None),
            // Whoever refuses says who it is; another's refusal says nothing about this one.
            Err(Error::Api(status)) => Ok(status.message.contains(name).then_some(())),
            Err(err) => Err(err.into()),
        }
    })
    .await
}

async fn remove_probes(client: &Client, name: &str) -> anyhow::Result<()> {
    delete::<ValidatingAdmissionPolicyBinding>(client, &refused(name, "policy")).await?;
    delete::<ValidatingAdmissionPolicy>(client, &refused(name, "policy")).await?;
    delete::<ValidatingWebhookConfiguration>(client, &refused(name, "validating")).await?;
    delete::<MutatingWebhookConfiguration>(client, &refused(name, "mutating")).await
}

async fn create<K>(client: &Client, object: Value) -> anyhow::Result<()>
where
    K: Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope> + Clone + std::fmt::Debug,
    K: Serialize + DeserializeOwned,
{
    let object: K = serde_json::from_value(object)?;
    Api::all(client.clone())
        .create(&PostParams::default(), &object)
        .await?;
    Ok(())
}

async fn delete<K>(client: &Client, name: &str) -> anyhow::Result<()>
where
    K: Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope> + Clone + std::fmt::Debug,
    K: DeserializeOwned,
{
    match Api::<K>::all(client.clone())
        .delete(name, &DeleteParams::default())
        .await
    {
        Err(Error::Api(status)) if status.is_not_found() => Ok(()),
        result => Ok(result.map(drop)?),
    }
}
