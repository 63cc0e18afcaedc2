//! Who talks to a cluster: a kube client, a kubeconfig file, kubectl.

use std::{
    fs,
    io::{Seek as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use super::certificates::Pair;
use crate::process::{self, Finished};

/// A person or a service account, with everything to talk to one cluster.
#[derive(Clone, Debug)]
pub struct User {
    name: String,
    config: Config,
    kubeconfig: PathBuf,
    kubectl: PathBuf,
}

/// What the kubeconfig files of one cluster have in common.
#[derive(Clone, Debug)]
pub(super) struct Access {
    /// `https://127.0.0.1:port`.
    pub(super) url: String,
    /// Of the authority that signed the API server's certificate.
    pub(super) authority: String,
    /// Certificate of a member of `system:masters`.
    pub(super) admin: Pair,
    pub(super) kubectl: PathBuf,
    /// Where files of users are kept.
    pub(super) folder: PathBuf,
}

impl Access {
    /// Who may do everything.
    pub(super) async fn admin(&self) -> anyhow::Result<User> {
        self.user("admin", json!({})).await
    }

    /// Another one; the administrator acts for them.
    pub(super) async fn other(&self, name: &str, groups: &[&str]) -> anyhow::Result<User> {
        self.user(name, json!({"as": name, "as-groups": groups})).await
    }

    async fn user(&self, name: &str, mut credentials: Value) -> anyhow::Result<User> {
        let encode = |pem: &str| BASE64_STANDARD.encode(pem);
        credentials["client-certificate-data"] = encode(&self.admin.certificate).into();
        credentials["client-key-data"] = encode(&self.admin.key).into();
        // JSON is YAML.
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "test",
                "cluster": {"server": self.url, "certificate-authority-data": encode(&self.authority)},
            }],
            "users": [{"name": name, "user": credentials}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
            "current-context": "test",
        })
        .to_string();
        let file = tempfile::Builder::new()
            .prefix("kubeconfig-")
            .tempfile_in(&self.folder)?;
        fs::write(file.path(), &text)?;
        let (_, kubeconfig) = file.keep()?;
        let parsed = Kubeconfig::from_yaml(&text).context("own kubeconfig")?;
        let config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await?;
        Ok(User {
            name: name.to_owned(),
            config,
            kubeconfig,
            kubectl: self.kubectl.clone(),
        })
    }
}

impl User {
    /// The name that RBAC knows.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A new client. It belongs to the runtime that it was made on: a test makes its own.
    pub fn client(&self) -> anyhow::Result<Client> {
        Client::try_from(self.config.clone()).with_context(|| format!("client of {}", self.name))
    }

    /// What clients are made of.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A kubeconfig file, for programs.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Runs kubectl to its end.
    pub async fn kubectl(&self, args: &[&str]) -> anyhow::Result<Finished> {
        self.kubectl_with(args, "").await
    }

    /// Runs kubectl with an input, which `-f -` reads.
    pub async fn kubectl_with(&self, args: &[&str], input: &str) -> anyhow::Result<Finished> {
        let mut file = tempfile::tempfile()?;
        file.write_all(input.as_bytes())?;
        file.rewind()?;
        let mut command = Command::new(&self.kubectl);
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            // What it remembers of a cluster must not outlive the cluster: ports are used again.
            .arg("--cache-dir")
            .arg(self.kubeconfig.with_extension("cache"))
            .args(args)
            // Preferences of whoever runs the tests.
            .env("KUBERC", "off")
            .stdin(Stdio::from(file));
        process::finish(command).await
    }

    /// Applies manifests as a person does; fails with what kubectl says.
    pub async fn apply(&self, yaml: &str) -> anyhow::Result<Finished> {
        let done = self.kubectl_with(&["apply", "-f", "-"], yaml).await?;
        anyhow::ensure!(done.code == Some(0), "kubectl apply: {}", done.stderr);
        Ok(done)
    }
}
