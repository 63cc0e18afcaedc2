//! The shipped webhook configurations, pointed at a server on loopback and at the namespace of one test.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use e2e::{
    cluster::{Cluster, Shared, certificates::Pair},
    process::{Finished, root},
};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::{
    Api, Resource,
    api::{ApiResource, DeleteParams, DynamicObject, PostParams},
    core::ClusterResourceScope,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::server::Server;

/// The definitions that the project ships, once for all tests.
pub(super) async fn definitions(cluster: &Cluster) {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    INSTALLED.get_or_init(|| definitions_on(cluster)).await;
}

/// The same on a cluster of one test.
pub(super) async fn definitions_on(cluster: &Cluster) {
    cluster
        .install_crds(&root().join("manifests/crds"))
        .await
        .unwrap();
}

/// What to do when the webhook cannot be called.
pub(super) const FAIL: &str = "Fail";
pub(super) const IGNORE: &str = "Ignore";

/// A server with a mounted certificate, that the shared API server calls for one namespace.
pub(super) struct Site {
    pub(super) cluster: Shared,
    pub(super) namespace: String,
    pub(super) server: Server,
    kubeconfig: PathBuf,
    /// Has `tls.crt` and `tls.key`.
    folder: TempDir,
    args: Vec<String>,
}

impl Site {
    /// Starts the server with these flags and has the API server call it.
    pub(super) async fn new(failure_policy: &str, args: &[&str]) -> Self {
        let cluster = Cluster::shared().await.unwrap();
        let kubeconfig = cluster.kubeconfig().to_owned();
        Self::on(cluster, kubeconfig, failure_policy, args).await
    }

    /// The same with another way to the API server.
    pub(super) async fn on(
        cluster: Shared,
        kubeconfig: PathBuf,
        failure_policy: &str,
        args: &[&str],
    ) -> Self {
        definitions(&cluster).await;
        let namespace = cluster.namespace().await.unwrap();
        let folder = certificate(&cluster);
        let mut all = vec![
            "--cert-dir",
            folder.path().to_str().unwrap(),
            "--namespace",
            &namespace,
        ];
        all.extend(args);
        let args: Vec<_> = all.into_iter().map(str::to_owned).collect();
        let server = start(&kubeconfig, None, &args).await;
        call(&cluster, &namespace, &server.addr, |configuration| {
            confine(configuration, &namespace);
            for webhook in webhooks(configuration) {
                webhook["failurePolicy"] = failure_policy.into();
            }
        })
        .await;
        Self {
            cluster,
            namespace,
            server,
            kubeconfig,
            folder,
            args,
        }
    }

    /// Another certificate, as the kubelet brings it.
    pub(super) fn mount(&self, pair: &Pair) {
        mount(self.folder.path(), pair);
    }

    /// Starts the server again, where it was.
    pub(super) async fn restart(&mut self) {
        let addr = self.server.addr.clone();
        self.server = start(&self.kubeconfig, Some(&addr), &self.args).await;
    }

    /// `kubectl VERB ... -f -` in the namespace.
    pub(super) async fn kubectl(&self, args: &[&str], object: &Value) -> Finished {
        let input = if object.is_null() {
            String::new()
        } else {
            object.to_string()
        };
        let all = [&["-n", &self.namespace], args].concat();
        self.cluster.admin().kubectl_with(&all, &input).await.unwrap()
    }

    /// `kubectl apply -f -` in the namespace.
    pub(super) async fn apply(&self, object: &Value) -> Finished {
        self.kubectl(&["apply", "-f", "-"], object).await
    }

    /// The inference services of the namespace, with a client of the running test.
    pub(super) fn services(&self) -> Api<DynamicObject> {
        services(&self.cluster, &self.namespace)
    }

    /// Ends the calls for this namespace. Others are not disturbed by what stays, but called for it the API server is.
    pub(super) async fn end(self) {
        call_no_more(&self.cluster, &self.namespace).await;
    }
}

/// A folder with a certificate for loopback, as `--cert-dir` wants it.
pub(crate) fn certificate(cluster: &Cluster) -> TempDir {
    let folder = TempDir::new().unwrap();
    mount(
        folder.path(),
        &cluster.authority().server(&["127.0.0.1"]).unwrap(),
    );
    folder
}

/// Has the API server call a server on loopback: the shipped configurations under another name, and as `alter` wants them.
/// Returns when it does.
pub(crate) async fn call(cluster: &Cluster, name: &str, addr: &str, alter: impl Fn(&mut Value)) {
    let authority = cluster.authority().certificate();
    for mut object in configurations(cluster).await {
        object["metadata"] = json!({"name": name});
        point(&mut object, addr);
        for webhook in webhooks(&mut object) {
            webhook["clientConfig"]["caBundle"] = encode(&authority).into();
        }
        alter(&mut object);
        cluster.apply_yaml(&object.to_string()).await.unwrap();
    }
    cluster.admission_settled().await.unwrap();
}

/// Ends what [`call`] began.
pub(crate) async fn call_no_more(cluster: &Cluster, name: &str) {
    let client = cluster.client().unwrap();
    delete::<MutatingWebhookConfiguration>(&client, name).await;
    delete::<ValidatingWebhookConfiguration>(&client, name).await;
}

/// The webhooks of a configuration.
pub(crate) fn webhooks(configuration: &mut Value) -> &mut Vec<Value> {
    configuration["webhooks"]
        .as_array_mut()
        .expect("a configuration has webhooks")
}

async fn start(kubeconfig: &Path, addr: Option<&str>, args: &[String]) -> Server {
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let server = Server::start(kubeconfig, addr, &args).await.unwrap();
    server.ready().await.unwrap();
    server
}

async fn delete<K>(client: &kube::Client, name: &str)
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone + std::fmt::Debug,
    K: serde::de::DeserializeOwned,
{
    let deleted = Api::<K>::all(client.clone())
        .delete(name, &DeleteParams::default())
        .await;
    deleted.unwrap();
}

/// Both shipped configurations, as JSON.
async fn configurations(cluster: &Cluster) -> Vec<Value> {
    let mut all = Vec::new();
    for file in ["mutating.yaml", "validating.yaml"] {
        let path = root().join("manifests/webhook").join(file);
        let path = path.to_str().unwrap();
        let done = cluster
            .kubectl(&["create", "--dry-run=client", "-o", "json", "-f", path])
            .await
            .unwrap();
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        all.push(serde_json::from_str(&done.stdout).unwrap());
    }
    all
}

/// Calls a server on loopback in place of the Service.
pub(super) fn point(configuration: &mut Value, addr: &str) {
    for webhook in webhooks(configuration) {
        let path = webhook["clientConfig"]["service"]["path"].as_str().unwrap();
        let url = format!("https://{addr}{path}");
        webhook["clientConfig"] = json!({"url": url});
        // The most that may be: a busy machine must not fail a test.
        webhook["timeoutSeconds"] = 30.into();
    }
}

/// Leaves the objects of other tests alone: what is in no namespace is told apart by the beginning of its name.
fn confine(configuration: &mut Value, namespace: &str) {
    for webhook in webhooks(configuration) {
        if webhook["rules"][0]["scope"] == "Namespaced" {
            webhook["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
        } else {
            let own =
                json!({"name": "own", "expression": format!("request.name.startsWith('{namespace}-')")});
            let conditions = webhook["matchConditions"].as_array_mut();
            conditions.expect("each has a condition").push(own);
        }
    }
}

/// A mounted Secret, changed as the kubelet does it: files are links through a link that is replaced in one step.
fn mount(folder: &Path, pair: &Pair) {
    let version = TempDir::with_prefix_in("..version-", folder).unwrap().keep();
    fs::write(version.join("tls.key"), &pair.key).unwrap();
    fs::write(version.join("tls.crt"), &pair.certificate).unwrap();
    let next = folder.join("..data_tmp");
    symlink(version.file_name().unwrap(), &next).unwrap();
    fs::rename(next, folder.join("..data")).unwrap();
    for name in ["tls.key", "tls.crt"] {
        let link = folder.join(name);
        if !link.is_symlink() {
            symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
}

fn encode(pem: &str) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(pem)
}

/// Inference services of a namespace.
pub(super) fn services(cluster: &Cluster, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: "serving.kserve.io".to_owned(),
        version: "v1beta1".to_owned(),
        api_version: "serving.kserve.io/v1beta1".to_owned(),
        kind: "InferenceService".to_owned(),
        plural: "inferenceservices".to_owned(),
    };
    Api::namespaced_with(cluster.client().unwrap(), namespace, &resource)
}

/// A dry run of an object, as a request that stores nothing.
pub(super) async fn dry_run(services: &Api<DynamicObject>, object: &Value) -> kube::Result<DynamicObject> {
    let object = serde_json::from_value(object.clone())
        .context("an object")
        .unwrap();
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    services.create(&params, &object).await
}

/// An inference service with this predictor.
pub(super) fn service(name: &str, predictor: &Value) -> Value {
    json!({
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {"predictor": predictor},
    })
}

/// One that nothing is to be said about, except that no runtime is there.
pub(super) fn good() -> Value {
    service(
        "good",
        &json!({"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://bucket/iris"}}),
    )
}

/// One that only the webhook knows to be wrong: definitions do not look at annotations.
pub(super) fn bad() -> Value {
    let mut object = good();
    object["metadata"] = json!({"name": "bad", "annotations": {"serving.kserve.io/autoscalerClass": "kpa2"}});
    object
}
