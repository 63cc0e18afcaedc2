//! Users, TLS, and what changes while a router runs.

use std::{fs, path::PathBuf};

use e2e::{
    cluster::certificates::Authority,
    etcd::{Etcd, Options},
    process::eventually,
};
use router::store::{Store, StoreError};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Mirror, commit, connect, get, put, store_of, try_commit};
use crate::support::SOON;

/// Settings as a mounted Secret has them.
struct Settings {
    folder: TempDir,
}

impl Settings {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Self { folder }
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        // Whole or not at all, as the kubelet does it.
        let new = self.folder.path().join("new");
        fs::write(&new, content).unwrap();
        fs::rename(&new, &path).unwrap();
        path
    }

    fn json(&self, settings: &Value) -> PathBuf {
        self.write("etcd.json", &settings.to_string())
    }
}

async fn works_at_last(store: &dyn Store, key: &str) {
    eventually("a commit", SOON, async || {
        match try_commit(store, vec![put(key, "1")]).await {
            Ok(_) => Ok(Some(())),
            Err(err) if err.is_transient() => Ok(None),
            Err(err) => anyhow::bail!("{err}"),
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn users_have_their_own_prefix() {
    let etcd = Etcd::start(Options::default()).await.unwrap();
    etcd.enable_auth("top-s3cret").await.unwrap();
    etcd.add_user("top-s3cret", "mesh", "s3cret", "pre/mm/test/")
        .await
        .unwrap();
    let settings = Settings::new();
    let good =
        json!({"endpoints": etcd.endpoints(), "userid": "mesh", "password": "s3cret", "root_prefix": "pre"});

    let denied = connect(&format!("etcd:{}", etcd.endpoints())).await.unwrap_err();
    assert!(matches!(denied, StoreError::Denied(_)), "{denied:?}");
    let mut wrong = good.clone();
    wrong["password"] = "wr0ng".into();
    let denied = store_of(&settings.json(&wrong)).await.unwrap_err();
    assert!(matches!(denied, StoreError::Denied(_)), "{denied:?}");
    assert!(
        denied.to_string().contains("\"mesh\"") && !denied.to_string().contains("wr0ng"),
        "{denied}"
    );
    let mut elsewhere = good.clone();
    elsewhere["root_prefix"] = "other".into();
    let denied = store_of(&settings.json(&elsewhere)).await.unwrap_err();
    assert!(matches!(denied, StoreError::Denied(_)), "{denied:?}");

    let store = store_of(&settings.json(&good)).await.unwrap();
    let shown = format!("{store:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
    commit(&*store, vec![put("k/a", "1")]).await;
    store.hold("instances/a", "1".into()).await.unwrap();
    let mirror = Mirror::started(&*store, "").await;
    assert_eq!(mirror.entries.len(), 2);
}

#[tokio::test]
async fn tokens_that_end_and_passwords_that_change() {
    let options = Options {
        // Tokens end after a second without use.
        flags: vec!["--auth-token-ttl=1".to_owned()],
        ..Options::default()
    };
    let mut etcd = Etcd::start(options).await.unwrap();
    etcd.enable_auth("top-s3cret").await.unwrap();
    etcd.add_user("top-s3cret", "mesh", "s3cret", "/mm/test/")
        .await
        .unwrap();
    let settings = Settings::new();
    let mut json = json!({"endpoints": etcd.endpoints(), "userid": "mesh", "password": "s3cret"});
    let store = store_of(&settings.json(&json)).await.unwrap();
    let mut mirror = Mirror::started(&*store, "k/").await;
    for round in 0..3 {
        // Longer than a token lives: several renewals of the session.
        let mut session = store.session();
        session.borrow_and_update();
        for _ in 0..2 {
            session.changed().await.unwrap();
        }
        let last = commit(&*store, vec![put("k/a", round.to_string())]).await;
        mirror.until("the change", |mirror| mirror.revision >= last).await;
    }
    etcd.change_password("top-s3cret", "mesh", "n3w").await.unwrap();
    json["password"] = "n3w".into();
    settings.json(&json);
    // Tokens of a server that is gone are no good.
    etcd.restart(0).await.unwrap();
    works_at_last(&*store, "k/b").await;
    mirror
        .until("the change", |mirror| mirror.value("k/b").is_some())
        .await;
}

#[tokio::test]
async fn tls_with_certificates_that_are_rotated() {
    let (old, new) = (Authority::new("old").unwrap(), Authority::new("new").unwrap());
    let hosts = ["127.0.0.1", "localhost"];
    let options = Options {
        tls: Some((old.server(&hosts).unwrap(), None)),
        ..Options::default()
    };
    let mut etcd = Etcd::start(options).await.unwrap();
    let settings = Settings::new();
    settings.write("ca.pem", &old.certificate());
    let json = json!({"endpoints": format!("https://{}", etcd.endpoint(0)), "certificate_file": "ca.pem"});
    let store = store_of(&settings.json(&json)).await.unwrap();
    commit(&*store, vec![put("k/a", "1")]).await;
    let mut mirror = Mirror::started(&*store, "k/").await;

    // Who does not trust the authority, and who speaks no TLS, fail and say so.
    let wrong = Settings::new();
    wrong.write("ca.pem", &new.certificate());
    let err = store_of(&wrong.json(&json)).await.unwrap_err().to_string();
    assert!(err.contains("TLS: ") && err.contains("UnknownIssuer"), "{err}");
    connect(&format!("etcd:http://{}", etcd.endpoint(0)))
        .await
        .unwrap_err();

    // The same name under another authority, and its certificate where the settings are.
    etcd.replace_certificate(&new.server(&hosts).unwrap()).unwrap();
    settings.write("ca.pem", &new.certificate());
    etcd.restart(0).await.unwrap();
    works_at_last(&*store, "k/b").await;
    mirror
        .until("the change", |mirror| mirror.value("k/b").is_some())
        .await;
}

#[tokio::test]
async fn clients_with_certificates() {
    let authority = Authority::new("etcd").unwrap();
    let server = authority.server(&["etcd.example", "127.0.0.1"]).unwrap();
    let options = Options {
        tls: Some((server, Some(authority.certificate()))),
        ..Options::default()
    };
    let etcd = Etcd::start(options).await.unwrap();
    let settings = Settings::new();
    let client = authority.client("mesh", "routers").unwrap();
    settings.write("client.pem", &client.certificate);
    settings.write("client.key", &client.key);
    let mut json = json!({
        "endpoints": etcd.endpoints(),
        "tls_mode": "TLS",
        "certificate": authority.certificate(),
        "override_authority": "etcd.example",
    });
    store_of(&settings.json(&json)).await.unwrap_err();
    json["client_certificate_file"] = "client.pem".into();
    json["client_key_file"] = "client.key".into();
    let store = store_of(&settings.json(&json)).await.unwrap();
    commit(&*store, vec![put("k/a", "1")]).await;
    assert!(get(&*store, "k/a").await.is_some());
    json["override_authority"] = "another.example".into();
    let err = store_of(&settings.json(&json)).await.unwrap_err().to_string();
    assert!(err.contains("TLS: ") && err.contains("another.example"), "{err}");
}
