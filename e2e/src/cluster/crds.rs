//! Custom resource definitions.

use std::path::Path;

use anyhow::Context as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use serde_json::Value;

use super::{Cluster, SOON};
use crate::process;

impl Cluster {
    /// Installs the definitions of a folder or file, and returns when their resources can be used. Again is no error.
    pub async fn install_crds(&self, path: &Path) -> anyhow::Result<()> {
        let path = path.to_str().context("a path of UTF-8")?;
        // On the server: with schemas they are larger than the annotation that kubectl would write.
        let apply = ["apply", "--server-side", "-o", "json", "-f", path];
        let applied = self.kubectl(&apply).await?;
        anyhow::ensure!(applied.code == Some(0), "kubectl apply: {}", applied.stderr);
        let wait = ["wait", "--for=condition=Established", "--timeout=60s", "-f", path];
        let waited = self.kubectl(&wait).await?;
        anyhow::ensure!(waited.code == Some(0), "kubectl wait: {}", waited.stderr);
        let client = self.client()?;
        for definition in definitions(&applied.stdout)? {
            discovered(&client, &definition).await?;
        }
        Ok(())
    }
}

/// Objects one after the other, or lists of them.
fn definitions(json: &str) -> anyhow::Result<Vec<CustomResourceDefinition>> {
    let mut all = Vec::new();
    for object in serde_json::Deserializer::from_str(json).into_iter::<Value>() {
        let mut object = object.context("what kubectl printed")?;
        match object.get_mut("items").map(Value::take) {
            Some(items) => all.extend(serde_json::from_value::<Vec<_>>(items)?),
            None => all.push(serde_json::from_value(object)?),
        }
    }
    Ok(all)
}

/// A definition is established before clients find its resource.
async fn discovered(client: &Client, definition: &CustomResourceDefinition) -> anyhow::Result<()> {
    let spec = &definition.spec;
    let served = spec.versions.iter().filter(|version| version.served);
    for version in served {
        let group_version = format!("{}/{}", spec.group, version.name);
        let what = format!("{} of {group_version} to be discovered", spec.names.plural);
        process::eventually(&what, SOON, async || {
            let groups = client.list_api_groups_aggregated().await?;
            let found = groups
                .items
                .iter()
                .filter(|group| {
                    group.metadata.as_ref().and_then(|meta| meta.name.as_deref()) == Some(&spec.group)
                })
                .flat_map(|group| &group.versions)
                .filter(|found| found.version.as_deref() == Some(&version.name))
                .flat_map(|found| &found.resources)
                .any(|found| found.resource.as_deref() == Some(&spec.names.plural));
            Ok(found.then_some(()))
        })
        .await?;
    }
    Ok(())
}
