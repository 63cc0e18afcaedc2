//! Whether the API server reaches us: a dry run of an object that only we deny, with a word in it that only our denial
//! repeats.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::SystemTime,
};

use kube::{
    Api, Client, Error,
    api::{ApiResource, DynamicObject, GroupVersionKind, PostParams},
};
use serde_json::json;

use crate::server::answer::PROBE;

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// It was we who denied it.
    Yes,
    /// Why not; the API server's words.
    No(String),
}

/// Creates the object in `namespace`, as a dry run: nothing is stored.
pub(super) async fn probe(client: &Client, namespace: &str) -> Reached {
    let gvk = GroupVersionKind::gvk("serving.kserve.io", "v1beta1", "InferenceService");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "inferenceservices");
    let services: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let word = format!("{:016x}", RandomState::new().hash_one(SystemTime::now()));
    let mut object = DynamicObject::new("stowage-webhook-probe", &resource).data(json!({
        "spec": {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://probe/probe"}}},
    }));
    object.metadata.annotations = Some([(PROBE.to_owned(), word.clone())].into());
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    match services.create(&dry_run, &object).await {
        Ok(_) => Reached::No("a bad object was let through".to_owned()),
        Err(Error::Api(status)) if status.message.contains(&word) => Reached::Yes,
        Err(Error::Api(status)) => Reached::No(status.message),
        Err(err) => Reached::No(err.to_string()),
    }
}
