//! An authority of the webhook's own that gets old: the next one is trusted before it signs.

use std::{collections::BTreeMap, time::Duration};

use e2e::{
    cluster::{Cluster, Options, certificates::Authority},
    process,
};
use k8s_openapi::api::{admissionregistration::v1::ValidatingWebhookConfiguration, core::v1::Secret};
use kube::{Api, api::PostParams};
use serde_json::json;

use super::{
    certificates::{Load, shown},
    install::{NAME, NAMESPACE, SECRET, armed, install, lead_to, secret, start},
    site::{dry_run, good, services},
};
use crate::support::SOON;

const DAY: Duration = Duration::from_hours(24);
/// The next authority waits half a minute, until every API server trusts it.
const LATER: Duration = SOON.saturating_mul(2);

/// What the API server trusts.
async fn trusted(cluster: &Cluster) -> String {
    let api = Api::<ValidatingWebhookConfiguration>::all(cluster.client().unwrap());
    let webhooks = api.get(NAME).await.unwrap().webhooks.unwrap_or_default();
    let bundle = webhooks.into_iter().next().unwrap().client_config.ca_bundle;
    String::from_utf8(bundle.unwrap().0).unwrap()
}

#[tokio::test]
async fn an_old_authority_is_replaced_under_load() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let user = install(&cluster).await;
    // As of an installation of years ago: two thirds of its life are over.
    let old = Authority::aged("old", 1400 * DAY, 400 * DAY).unwrap();
    let data = BTreeMap::from([("authority.crt", old.certificate()), ("authority.key", old.key())]);
    let object: Secret =
        serde_json::from_value(json!({"metadata": {"name": SECRET}, "stringData": data})).unwrap();
    let secrets = Api::<Secret>::namespaced(cluster.client().unwrap(), NAMESPACE);
    secrets.create(&PostParams::default(), &object).await.unwrap();

    let server = start(&user, None, "only", "90days").await;
    server.ready().await.unwrap();
    lead_to(&cluster, &server.addr).await;
    armed(&cluster).await;
    let old = old.certificate();
    let mut load = Load::new();
    for _ in 0..2 {
        let services = services(&cluster, "default");
        load.add(move || {
            let services = services.clone();
            async move {
                dry_run(&services, &good()).await.unwrap();
            }
        });
    }

    let next = process::eventually("the next authority", SOON, async || {
        let data = secrets.get(SECRET).await?.data.unwrap_or_default();
        let next = data.get("next-authority.crt").cloned();
        Ok(next.and_then(|next| String::from_utf8(next.0).ok()))
    })
    .await
    .unwrap();
    assert_eq!(secret(&cluster, "authority.crt").await, old);
    let bundle = process::eventually("the next authority to be trusted", SOON, async || {
        let bundle = trusted(&cluster).await;
        Ok(bundle.contains(next.trim_end()).then_some(bundle))
    })
    .await
    .unwrap();
    assert!(bundle.contains(old.trim_end()), "{bundle}");
    // The old one still signs.
    shown(&server.addr, &old).await.unwrap();
    load.goes_on(10).await;

    process::eventually("the next authority to sign", LATER, async || {
        Ok(shown(&server.addr, &next).await.ok())
    })
    .await
    .unwrap();
    load.goes_on(10).await;
    shown(&server.addr, &old).await.unwrap_err();
    assert_eq!(secret(&cluster, "authority.crt").await, next);
    assert_eq!(secret(&cluster, "previous-authority.crt").await, old);
    let bundle = trusted(&cluster).await;
    assert!(
        bundle.contains(old.trim_end()) && bundle.contains(next.trim_end()),
        "{bundle}"
    );
    load.end().await;
}
