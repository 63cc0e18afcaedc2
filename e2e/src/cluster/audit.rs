//! The API server's audit log: what a webhook said of a request, as an administrator reads it later.

use std::{fs, path::Path};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Cluster;

const LOG: &str = "audit.log";

/// Flags of an API server that logs changes into a folder, which is prepared here.
pub(super) fn flags(folder: &Path) -> anyhow::Result<[String; 2]> {
    let policy = folder.join("audit-policy.yaml");
    // JSON is YAML. One event for each request, when it is answered.
    let text = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "Metadata", "verbs": ["create", "update", "patch", "delete"]},
            {"level": "None"},
        ],
    });
    fs::write(&policy, text.to_string()).with_context(|| format!("write {}", policy.display()))?;
    Ok([
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", folder.join(LOG).display()),
    ])
}

impl Cluster {
    /// The `audit.k8s.io/v1` events of changes so far. A request's event may come a little after its answer.
    pub fn audit_events(&self) -> anyhow::Result<Vec<Value>> {
        let path = self.folder.path().join(LOG);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("read {}: is `audit` among the options?", path.display()))?;
        // The last line may still be under way.
        let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        complete
            .lines()
            .map(|line| serde_json::from_str(line).context("an audit event"))
            .collect()
    }
}
