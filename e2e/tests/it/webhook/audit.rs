//! What an administrator finds in the API server's audit log.

use e2e::process;
use serde_json::Value;

use super::{
    denied, passed,
    site::{FAIL, Site, bad, good},
};
use crate::support::SOON;

/// The annotations of the event about an object of the site, without the webhook's name before each.
async fn annotations(site: &Site, name: &str) -> Value {
    let event = process::eventually("the audit event", SOON, async || {
        let mut events = site.cluster.audit_events()?.into_iter();
        Ok(events.find(|event| {
            let object = &event["objectRef"];
            object["namespace"] == site.namespace.as_str() && object["name"] == name
        }))
    })
    .await
    .unwrap();
    let all = event["annotations"].as_object().cloned().unwrap_or_default();
    let own = all.into_iter().filter_map(|(key, value)| {
        let key = key.strip_prefix("inferenceservice.validator.webhook.stowage.dev/")?;
        Some((key.to_owned(), value))
    });
    own.collect()
}

#[tokio::test]
async fn the_audit_log_says_which_rules_spoke() {
    let site = Site::new(FAIL, &[]).await;
    denied(&site.apply(&bad()).await);
    let found = annotations(&site, "bad").await;
    assert_eq!(
        (&found["mode"], &found["denied-by"]),
        (&"compat".into(), &"IS-V02".into()),
        "{found}"
    );

    // No runtime is there, which is a warning in this mode.
    passed(&site.apply(&good()).await);
    let found = annotations(&site, "good").await;
    assert_eq!(found.get("denied-by"), None, "{found}");
    let warned: Vec<_> = found["warned-by"].as_str().unwrap().split(',').collect();
    assert!(warned.contains(&"IS-C05"), "{found}");

    let mut spared = good();
    spared["metadata"]["name"] = "spared".into();
    spared["metadata"]["annotations"] =
        serde_json::json!({"stowage.dev/suppress.IS-C05": "the runtime comes later"});
    passed(&site.apply(&spared).await);
    let found = annotations(&site, "spared").await;
    assert_eq!(found["suppressed"], "IS-C05", "{found}");
    site.end().await;
}
