//! The manifests as they are shipped, on a cluster of their own: rights that suffice, certificates that the webhook makes
//! itself, webhooks that arm themselves.
//!
//! There are no nodes, so the webhooks' Service leads nowhere: the configurations are pointed at loopback, and the server
//! runs as a child process with the rights of its service account.

use std::time::Duration;

use e2e::{
    cluster::{Cluster, Options, User},
    process::{self, root},
};
use k8s_openapi::{
    ByteString,
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        coordination::v1::Lease,
        core::v1::Secret,
    },
};
use kube::{Api, Resource, api::PostParams, core::ClusterResourceScope};
use serde_json::Value;

use super::{
    certificates::{Load, shown},
    denied, passed,
    server::Server,
    site::{bad, definitions_on, dry_run, good, point, services},
};
use crate::support::SOON;

pub(super) const NAMESPACE: &str = "kserve";
pub(super) const NAME: &str = "stowage-webhook";
pub(super) const SECRET: &str = "stowage-webhook-certs";

pub(super) async fn install(cluster: &Cluster) -> User {
    definitions_on(cluster).await;
    let folder = root().join("manifests/webhook");
    passed(
        &cluster
            .kubectl(&["apply", "-k", folder.to_str().unwrap()])
            .await
            .unwrap(),
    );
    let account = format!("system:serviceaccount:{NAMESPACE}:{NAME}");
    let groups = [
        "system:serviceaccounts",
        "system:serviceaccounts:kserve",
        "system:authenticated",
    ];
    cluster.user(&account, &groups).await.unwrap()
}

pub(super) async fn start(user: &User, addr: Option<&str>, identity: &str, lifetime: &str) -> Server {
    let args = [
        "--self-managed",
        "--arm",
        "--dns-name",
        "127.0.0.1",
        "--namespace",
        NAMESPACE,
        "--identity",
        identity,
        "--cert-lifetime",
        lifetime,
    ];
    Server::start(user.kubeconfig(), addr, &args).await.unwrap()
}

async fn edit<K>(cluster: &Cluster, change: impl Fn(&mut Value)) -> K
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone + std::fmt::Debug,
    K: serde::de::DeserializeOwned + serde::Serialize,
{
    let api = Api::<K>::all(cluster.client().unwrap());
    process::eventually("an edit that nobody else crosses", SOON, async || {
        let mut object = serde_json::to_value(api.get(NAME).await?)?;
        change(&mut object);
        let object = serde_json::from_value(object)?;
        match api.replace(NAME, &PostParams::default(), &object).await {
            // The webhook keeps them too.
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(None),
            result => Ok(Some(result?)),
        }
    })
    .await
    .unwrap()
}

/// Has both configurations call `addr`.
pub(super) async fn lead_to(cluster: &Cluster, addr: &str) {
    edit::<MutatingWebhookConfiguration>(cluster, |object| point(object, addr)).await;
    edit::<ValidatingWebhookConfiguration>(cluster, |object| point(object, addr)).await;
}

/// What requests meet when the webhooks cannot be called.
async fn policies(cluster: &Cluster) -> Vec<String> {
    let client = cluster.client().unwrap();
    let validating = Api::<ValidatingWebhookConfiguration>::all(client.clone());
    let mutating = Api::<MutatingWebhookConfiguration>::all(client);
    let validating = validating.get(NAME).await.unwrap().webhooks.unwrap_or_default();
    let mutating = mutating.get(NAME).await.unwrap().webhooks.unwrap_or_default();
    let validating = validating
        .into_iter()
        .filter_map(|webhook| webhook.failure_policy);
    let mutating = mutating.into_iter().filter_map(|webhook| webhook.failure_policy);
    validating.chain(mutating).collect()
}

pub(super) async fn armed(cluster: &Cluster) {
    process::eventually("webhooks to be armed", SOON, async || {
        let all = policies(cluster).await;
        Ok(all.iter().all(|policy| policy == "Fail").then_some(()))
    })
    .await
    .unwrap();
    cluster.admission_settled().await.unwrap();
}

pub(super) async fn secret(cluster: &Cluster, key: &str) -> String {
    let secrets = Api::<Secret>::namespaced(cluster.client().unwrap(), NAMESPACE);
    let secret = secrets.get(SECRET).await.unwrap();
    let ByteString(bytes) = secret.data.unwrap().remove(key).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn it_makes_its_certificate_arms_itself_and_a_second_replica_takes_over() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let user = install(&cluster).await;
    assert!(policies(&cluster).await.iter().all(|policy| policy == "Ignore"));

    // Nothing reaches it yet: it serves, and does not arm.
    let first = start(&user, None, "first", "90days").await;
    first.ready().await.unwrap();
    first.logged("not armed").await.unwrap();
    assert!(policies(&cluster).await.iter().all(|policy| policy == "Ignore"));

    lead_to(&cluster, &first.addr).await;
    armed(&cluster).await;
    let apply = ["apply", "-n", "default", "-f", "-"];
    let done = cluster
        .admin()
        .kubectl_with(&apply, &bad().to_string())
        .await
        .unwrap();
    assert!(denied(&done).contains("kpa2"));

    // One certificate for all replicas.
    let second = start(&user, None, "second", "90days").await;
    second.ready().await.unwrap();
    let authority = secret(&cluster, "ca.crt").await;
    let leaf = shown(&first.addr, &authority).await.unwrap();
    assert_eq!(shown(&second.addr, &authority).await.unwrap(), leaf);

    // The leader goes and gives the lease back; the other one leads, and heals what somebody broke.
    first.process.terminate().unwrap();
    let leases = Api::<Lease>::namespaced(cluster.client().unwrap(), NAMESPACE);
    process::eventually("the second replica to lead", SOON, async || {
        let holder = leases.get(NAME).await?.spec.and_then(|spec| spec.holder_identity);
        Ok((holder.as_deref() == Some("second")).then_some(()))
    })
    .await
    .unwrap();
    lead_to_url(&cluster, &second.addr).await;
    armed(&cluster).await;
    process::eventually("the bundle to be healed", SOON, async || {
        Ok(dry_run(&services(&cluster, "default"), &good()).await.ok())
    })
    .await
    .unwrap();
}

/// As a person who applies the manifests again: other URLs, no bundle, `Ignore`.
async fn lead_to_url(cluster: &Cluster, addr: &str) {
    let change = |object: &mut Value| {
        for webhook in object["webhooks"].as_array_mut().unwrap() {
            let url = webhook["clientConfig"]["url"].as_str().unwrap();
            let path = url.splitn(4, '/').nth(3).unwrap();
            webhook["clientConfig"] = serde_json::json!({"url": format!("https://{addr}/{path}")});
            webhook["failurePolicy"] = "Ignore".into();
        }
    };
    edit::<MutatingWebhookConfiguration>(cluster, change).await;
    edit::<ValidatingWebhookConfiguration>(cluster, change).await;
}

/// Of a certificate that is renewed while a test waits: a third of it is left then, enough for a machine that is busy.
const LIFETIME: Duration = Duration::from_secs(80);

#[tokio::test]
async fn its_own_certificate_is_renewed_under_load() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let user = install(&cluster).await;
    let server = start(&user, None, "only", &format!("{}s", LIFETIME.as_secs())).await;
    server.ready().await.unwrap();
    let authority = secret(&cluster, "ca.crt").await;
    let leaf = shown(&server.addr, &authority).await.unwrap();
    lead_to(&cluster, &server.addr).await;
    armed(&cluster).await;
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
    let (addr, root) = (server.addr.clone(), authority.clone());
    load.add(move || {
        let (addr, root) = (addr.clone(), root.clone());
        async move {
            shown(&addr, &root).await.unwrap();
        }
    });
    load.goes_on(10).await;
    process::eventually("another certificate", LIFETIME, async || {
        Ok((shown(&server.addr, &authority).await? != leaf).then_some(()))
    })
    .await
    .unwrap();
    load.goes_on(10).await;
    load.end().await;
}

#[tokio::test]
async fn without_rights_it_says_what_is_missing_and_is_not_ready() {
    let cluster = Cluster::shared().await.unwrap();
    let namespace = cluster.namespace().await.unwrap();
    let nobody = cluster.user(&format!("nobody-{namespace}"), &[]).await.unwrap();
    let args = ["--self-managed", "--namespace", &namespace];
    let server = Server::start(nobody.kubeconfig(), None, &args).await.unwrap();
    process::eventually("the reason", SOON, async || {
        let (_, text) = server.probe("/ready").await?;
        Ok((text.contains("secrets is forbidden") || text.contains("cannot be watched")).then_some(()))
    })
    .await
    .unwrap();
    server.logged("cannot get resource").await.unwrap();
}
