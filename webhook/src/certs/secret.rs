//! The Secret that replicas share: `tls.crt` and `tls.key` as every server reads them, `ca.crt` as clients do, and the
//! authority's key.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kit::drain::Drain;
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
    runtime::watcher,
};

use super::{Current, issue::Pair, plan::Material};
use crate::watch::{Backoff, WATCH_TIMEOUT};

const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";
const BUNDLE: &str = "ca.crt";
const AUTHORITY: (&str, &str) = ("authority.crt", "authority.key");
const NEXT: (&str, &str) = ("next-authority.crt", "next-authority.key");
const PREVIOUS: &str = "previous-authority.crt";

/// What a Secret holds; what is damaged is absent.
pub fn read(secret: &Secret) -> Material {
    let text = |key: &str| {
        let bytes = secret.data.as_ref()?.get(key)?;
        String::from_utf8(bytes.0.clone()).ok()
    };
    let pair = |(certificate, key): (&str, &str)| {
        Some(Pair {
            certificate: text(certificate)?,
            key: text(key)?,
        })
    };
    Material {
        authority: pair(AUTHORITY),
        next: pair(NEXT),
        previous: text(PREVIOUS),
        leaf: pair((CHAIN, KEY)),
    }
}

/// A Secret with `material`, in place of `old`.
pub fn write(name: &str, material: &Material, old: Option<&Secret>) -> Secret {
    let mut data = BTreeMap::new();
    let mut put = |key: &str, text: &str| {
        data.insert(key.to_owned(), ByteString(text.as_bytes().to_vec()));
    };
    put(BUNDLE, &material.bundle());
    let pairs = [
        ((CHAIN, KEY), &material.leaf),
        (AUTHORITY, &material.authority),
        (NEXT, &material.next),
    ];
    for ((certificate, key), pair) in pairs {
        if let Some(pair) = pair {
            put(certificate, &pair.certificate);
            put(key, &pair.key);
        }
    }
    if let Some(previous) = &material.previous {
        put(PREVIOUS, previous);
    }
    let metadata = old.map_or_else(
        || ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(BTreeMap::from([(
                "app.kubernetes.io/name".to_owned(),
                "stowage-webhook".to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        |old| old.metadata.clone(),
    );
    Secret {
        metadata,
        type_: Some(
            old.and_then(|old| old.type_.clone())
                .unwrap_or_else(|| "kubernetes.io/tls".to_owned()),
        ),
        data: Some(data),
        ..Secret::default()
    }
}

/// Writes `material`. A Secret that somebody else changed meanwhile is an error: look again.
pub async fn store(
    secrets: &Api<Secret>,
    name: &str,
    material: &Material,
    old: Option<&Secret>,
) -> kube::Result<Secret> {
    let secret = write(name, material, old);
    let params = PostParams::default();
    match old {
        Some(_) => secrets.replace(name, &params, &secret).await,
        None => secrets.create(&params, &secret).await,
    }
}

/// Serves what the Secret holds, whoever writes it, until `drain` has finished.
pub async fn follow(secrets: Api<Secret>, name: String, current: Current, drain: Drain) {
    let config = watcher::Config::default()
        .fields(&format!("metadata.name={name}"))
        .timeout(WATCH_TIMEOUT);
    let mut backoff = Backoff::default();
    let mut events = watcher(secrets, config).boxed();
    loop {
        let event = tokio::select! {
            _ = drain.finished() => return,
            event = events.next() => event,
        };
        match event {
            Some(Ok(watcher::Event::Apply(secret) | watcher::Event::InitApply(secret))) => {
                backoff.reset();
                take(&secret, &current);
            }
            Some(Ok(watcher::Event::Delete(_))) => {
                tracing::warn!(
                    secret = name,
                    "secret of the certificate is gone; the pair in memory stays"
                );
            }
            Some(Ok(watcher::Event::Init)) => {}
            Some(Ok(watcher::Event::InitDone)) => {
                current.missing(&format!("there is no Secret {name} yet"));
            }
            Some(Err(err)) => {
                current.missing(&format!("the Secret {name} cannot be watched"));
                tracing::warn!(secret = name, error = %err, "secret of the certificate cannot be watched");
                tokio::time::sleep(backoff.pause()).await;
            }
            None => return,
        }
    }
}

fn take(secret: &Secret, current: &Current) {
    let Some(leaf) = read(secret).leaf else {
        current.missing(&"the Secret has no tls.crt and tls.key");
        return;
    };
    if let Err(err) = current.offer(leaf.certificate.as_bytes(), leaf.key.as_bytes()) {
        tracing::warn!(error = %err, "certificate of the secret not taken");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str) -> Pair {
        Pair {
            certificate: format!("certificate of {name}"),
            key: format!("key of {name}"),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let full = Material {
            authority: Some(pair("authority")),
            next: Some(pair("next")),
            previous: Some("old".to_owned()),
            leaf: Some(pair("leaf")),
        };
        let secret = write("s", &full, None);
        assert_eq!(read(&secret), full);
        assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/tls"));
        let less = Material {
            next: None,
            previous: None,
            ..full
        };
        let mut stored = secret;
        stored.metadata.resource_version = Some("7".to_owned());
        let secret = write("s", &less, Some(&stored));
        assert_eq!(read(&secret), less);
        assert_eq!(secret.metadata.resource_version.as_deref(), Some("7"));
        assert_eq!(read(&Secret::default()), Material::default());
    }
}
