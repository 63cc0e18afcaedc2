//! Our webhook configurations: the CA bundle in them, and whether a webhook that cannot be called fails requests.
//!
//! They are read and written as JSON, so that fields of newer API servers survive.

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

/// Both kinds, under one name.
#[derive(Clone, Debug)]
pub struct Configurations {
    apis: [Api<DynamicObject>; 2],
    name: String,
}

/// What was found, over both configurations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Webhooks in them.
    pub webhooks: usize,
    /// Those that did not have the bundle before.
    pub written: usize,
    /// Those that are ignored when they cannot be called.
    pub ignored: usize,
}

impl Configurations {
    /// The configurations of this name.
    pub fn new(client: &Client, name: &str) -> Self {
        let api = |resource: &ApiResource| Api::all_with(client.clone(), resource);
        Self {
            apis: [
                api(&ApiResource::erase::<MutatingWebhookConfiguration>(&())),
                api(&ApiResource::erase::<ValidatingWebhookConfiguration>(&())),
            ],
            name: name.to_owned(),
        }
    }

    /// Writes `bundle` (PEM) where it is not yet, if there is one, and says how things stand.
    pub async fn trust(&self, bundle: Option<&str>) -> anyhow::Result<State> {
        let encoded = bundle.map(|pem| BASE64_STANDARD.encode(pem));
        let mut state = State::default();
        self.edit(|webhook| {
            state.webhooks += 1;
            state.ignored += usize::from(ignored(webhook));
            let changed = encoded.as_ref().is_some_and(|bundle| set_bundle(webhook, bundle));
            state.written += usize::from(changed);
            changed
        })
        .await?;
        Ok(state)
    }

    /// Has requests fail when a webhook cannot be called.
    pub async fn arm(&self) -> anyhow::Result<()> {
        self.edit(arm).await
    }

    async fn edit(&self, mut change: impl FnMut(&mut Value) -> bool) -> anyhow::Result<()> {
        for api in &self.apis {
            let Some(object) = api.get_opt(&self.name).await.with_context(|| self.what("read"))? else {
                continue;
            };
            let mut webhooks = object.data.get("webhooks").cloned().unwrap_or_default();
            let list = webhooks.as_array_mut().map(Vec::as_mut_slice).unwrap_or_default();
            let mut changed = false;
            for webhook in list {
                changed |= change(webhook);
            }
            if !changed {
                continue;
            }
            // The version makes it an error when somebody else wrote meanwhile.
            let patch = json!({
                "metadata": {"resourceVersion": object.metadata.resource_version},
                "webhooks": webhooks,
            });
            api.patch(&self.name, &PatchParams::default(), &Patch::Merge(&patch))
                .await
                .with_context(|| self.what("write"))?;
        }
        Ok(())
    }

    fn what(&self, verb: &str) -> String {
        format!("{verb} webhook configuration {}", self.name)
    }
}

fn ignored(webhook: &Value) -> bool {
    webhook["failurePolicy"] == "Ignore"
}

fn arm(webhook: &mut Value) -> bool {
    let change = ignored(webhook);
    if let (true, Some(fields)) = (change, webhook.as_object_mut()) {
        fields.insert("failurePolicy".to_owned(), "Fail".into());
    }
    change
}

fn set_bundle(webhook: &mut Value, bundle: &str) -> bool {
    let Some(client) = webhook.get_mut("clientConfig").and_then(Value::as_object_mut) else {
        return false;
    };
    let before = client.insert("caBundle".to_owned(), bundle.into());
    before.is_none_or(|before| before != bundle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_is_written_once() {
        let mut webhook = json!({"name": "a", "clientConfig": {"url": "https://x/"}, "new": {"field": 1}});
        assert!(set_bundle(&mut webhook, "QQ=="));
        assert!(!set_bundle(&mut webhook, "QQ=="));
        assert!(set_bundle(&mut webhook, "Qg=="));
        let client = json!({"url": "https://x/", "caBundle": "Qg=="});
        assert_eq!(
            webhook,
            json!({"name": "a", "clientConfig": client, "new": {"field": 1}})
        );
        assert!(!set_bundle(&mut json!({}), "QQ=="));
    }

    #[test]
    fn arming_changes_only_what_is_ignored() {
        let mut webhook = json!({"failurePolicy": "Ignore"});
        assert!(arm(&mut webhook));
        assert_eq!(webhook, json!({"failurePolicy": "Fail"}));
        assert!(!arm(&mut webhook));
    }
}
