//! The programs of a control plane, with the flags that suit a test: loopback only, no leader election, no disk syncs.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use kube::Config;
use rcgen::KeyPair;

use super::{
    certificates::{Authority, Pair},
    server::{Launch, Probe},
};
use crate::port;

/// A program of the control plane. In the order in which they are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// `kube-scheduler`.
    Scheduler,
    /// `kube-controller-manager`.
    ControllerManager,
    /// `kube-apiserver`.
    ApiServer,
    /// `etcd`.
    Etcd,
}

impl Component {
    /// Name of the program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Scheduler => "kube-scheduler",
            Self::ControllerManager => "kube-controller-manager",
            Self::ApiServer => "kube-apiserver",
            Self::Etcd => "etcd",
        }
    }
}

/// What the programs of one control plane share.
#[derive(Debug)]
pub(super) struct Setup {
    /// Where the programs lie.
    pub(super) programs: PathBuf,
    /// For data and key files.
    pub(super) folder: PathBuf,
    /// More flags of each program; a later flag beats an earlier one.
    pub(super) flags: BTreeMap<Component, Vec<String>>,
}

/// Certificates and keys as files.
#[derive(Debug)]
struct Files {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    account_public: PathBuf,
    account_private: PathBuf,
}

impl Setup {
    fn files(&self) -> Files {
        let file = |name: &str| self.folder.join(name);
        Files {
            authority: file("ca.crt"),
            certificate: file("server.crt"),
            key: file("server.key"),
            account_public: file("service-accounts.pub"),
            account_private: file("service-accounts.key"),
        }
    }

    /// Writes what the programs read: the certificates of servers and the keys of service accounts.
    pub(super) fn write_keys(&self, authority: &Authority) -> anyhow::Result<()> {
        let files = self.files();
        let Pair { certificate, key } = authority.server(&["127.0.0.1", "localhost"])?;
        let accounts = KeyPair::generate()?;
        for (file, text) in [
            (files.authority, authority.certificate()),
            (files.certificate, certificate),
            (files.key, key),
            (files.account_public, accounts.public_key_pem()),
            (files.account_private, accounts.serialize_pem()),
        ] {
            fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        }
        Ok(())
    }

    fn launch(&self, component: Component, mut arguments: Vec<String>, probe: Probe) -> Launch {
        arguments.extend(self.flags.get(&component).into_iter().flatten().cloned());
        Launch {
            program: self.programs.join(component.program()),
            arguments,
            probe,
        }
    }

    pub(super) fn etcd(&self) -> anyhow::Result<Launch> {
        let (clients, peers) = (local("http", port::free()?), local("http", port::free()?));
        let arguments = vec![
            "--name=test".to_owned(),
            flag("data-dir", &self.folder.join("etcd")),
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=test={peers}"),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        let probe = Probe {
            config: Config::new(clients.parse()?),
            path: "/health",
        };
        Ok(self.launch(Component::Etcd, arguments, probe))
    }

    /// `etcd` is a URL; `admin` leads to whichever port is chosen here. Pods need service accounts only where something
    /// makes them: the controller manager.
    pub(super) fn api_server(&self, etcd: &str, admin: &Config, accounts: bool) -> anyhow::Result<Launch> {
        let files = self.files();
        let port = port::free()?;
        let mut arguments = vec![
            format!("--etcd-servers={etcd}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            flag("tls-cert-file", &files.certificate),
            flag("tls-private-key-file", &files.key),
            flag("client-ca-file", &files.authority),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            flag("service-account-key-file", &files.account_public),
            flag("service-account-signing-key-file", &files.account_private),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            // Endpoints refuse loopback addresses: the service `kubernetes` has none.
            "--endpoint-reconciler-type=none".to_owned(),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--allow-privileged=true".to_owned(),
            // A dozen flow schemas and their controllers, for few clients.
            "--enable-priority-and-fairness=false".to_owned(),
            "--profiling=false".to_owned(),
        ];
        if !accounts {
            arguments.push("--disable-admission-plugins=ServiceAccount".to_owned());
        }
        let probe = Probe {
            config: at(admin, port)?,
            path: "/readyz",
        };
        Ok(self.launch(Component::ApiServer, arguments, probe))
    }

    pub(super) fn controller_manager(&self, admin: &Config, kubeconfig: &Path) -> anyhow::Result<Launch> {
        let files = self.files();
        let port = port::free()?;
        let arguments = vec![
            flag("kubeconfig", kubeconfig),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            flag("tls-cert-file", &files.certificate),
            flag("tls-private-key-file", &files.key),
            flag("root-ca-file", &files.authority),
            flag("service-account-private-key-file", &files.account_private),
            "--leader-elect=false".to_owned(),
            "--kube-api-qps=500".to_owned(),
            "--kube-api-burst=1000".to_owned(),
            "--profiling=false".to_owned(),
        ];
        let probe = Probe {
            config: at(admin, port)?,
            path: "/healthz",
        };
        Ok(self.launch(Component::ControllerManager, arguments, probe))
    }

    /// `configuration` is added to the scheduler's configuration file.
    pub(super) fn scheduler(
        &self,
        admin: &Config,
        kubeconfig: &Path,
        configuration: &str,
    ) -> anyhow::Result<Launch> {
        let files = self.files();
        let port = port::free()?;
        let file = self.folder.join("scheduler.yaml");
        let text = format!(
            "apiVersion: kubescheduler.config.k8s.io/v1\n\
             kind: KubeSchedulerConfiguration\n\
             leaderElection: {{leaderElect: false}}\n\
             clientConnection: {{kubeconfig: '{}', qps: 500, burst: 1000}}\n\
             {configuration}\n",
            kubeconfig.display()
        );
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        let arguments = vec![
            flag("config", &file),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            flag("tls-cert-file", &files.certificate),
            flag("tls-private-key-file", &files.key),
        ];
        let probe = Probe {
            config: at(admin, port)?,
            path: "/healthz",
        };
        Ok(self.launch(Component::Scheduler, arguments, probe))
    }
}

fn local(scheme: &str, port: u16) -> String {
    format!("{scheme}://127.0.0.1:{port}")
}

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// The same certificates for another server of this control plane.
fn at(admin: &Config, port: u16) -> anyhow::Result<Config> {
    let mut config = admin.clone();
    config.cluster_url = local("https", port).parse()?;
    Ok(config)
}
