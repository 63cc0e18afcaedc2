//! RBAC for the users of a test.

use k8s_openapi::api::{
    authorization::v1::SubjectAccessReview,
    rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding},
};
use kube::{Api, Client, api::PostParams};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{Cluster, SOON, User};
use crate::process;

/// Allows verbs on resources (`deployments`, `pods/status`) of an API group; the core group is empty.
pub fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(own(&[group])),
        resources: Some(own(resources)),
        verbs: own(verbs),
        ..PolicyRule::default()
    }
}

impl Cluster {
    /// Another user, who may do nothing yet.
    pub async fn user(&self, name: &str, groups: &[&str]) -> anyhow::Result<User> {
        self.access.other(name, groups).await
    }

    /// Gives a user rights in a namespace, or everywhere, and returns when they hold.
    pub async fn allow(
        &self,
        user: &User,
        namespace: Option<&str>,
        rules: &[PolicyRule],
    ) -> anyhow::Result<()> {
        let client = self.client()?;
        let (role, binding) = match namespace {
            Some(_) => ("Role", "RoleBinding"),
            None => ("ClusterRole", "ClusterRoleBinding"),
        };
        let name = super::unique("rights");
        let metadata = json!({"name": name});
        let role_object = json!({"metadata": metadata, "rules": rules});
        let binding_object = json!({
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user.name()}],
        });
        tracing::debug!(user = user.name(), role, binding, "grant");
        if let Some(namespace) = namespace {
            create(Api::<Role>::namespaced(client.clone(), namespace), role_object).await?;
            let bindings = Api::<RoleBinding>::namespaced(client.clone(), namespace);
            create(bindings, binding_object).await?;
        } else {
            create(Api::<ClusterRole>::all(client.clone()), role_object).await?;
            create(Api::<ClusterRoleBinding>::all(client.clone()), binding_object).await?;
        }
        for attributes in rules.iter().flat_map(|rule| attributes(rule, namespace)) {
            holds(&client, user, attributes).await?;
        }
        Ok(())
    }
}

async fn create<K>(api: Api<K>, object: Value) -> anyhow::Result<()>
where
    K: Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    let object = serde_json::from_value(object)?;
    api.create(&PostParams::default(), &object).await?;
    Ok(())
}

/// Every question that a rule answers with yes.
fn attributes(rule: &PolicyRule, namespace: Option<&str>) -> Vec<Value> {
    let mut all = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            let (resource, sub) = resource.split_once('/').unwrap_or((resource, ""));
            for verb in &rule.verbs {
                all.push(json!({
                    "group": group, "resource": resource, "subresource": sub, "verb": verb, "namespace": namespace,
                }));
            }
        }
    }
    all
}

/// The API server learns of roles by watching them.
async fn holds(client: &Client, user: &User, attributes: Value) -> anyhow::Result<()> {
    let reviews = Api::<SubjectAccessReview>::all(client.clone());
    let what = format!("right of {}: {attributes}", user.name());
    let review: SubjectAccessReview = serde_json::from_value(json!({
        "spec": {"user": user.name(), "resourceAttributes": attributes},
    }))?;
    process::eventually(&what, SOON, async || {
        let answer = reviews.create(&PostParams::default(), &review).await?;
        Ok(answer.status.is_some_and(|status| status.allowed).then_some(()))
    })
    .await
}
