//! A Kubernetes control plane as child processes: etcd and the API server, with the scheduler and the controller manager
//! where a test wants them. Real programs, throw-away certificates, loopback only, no nodes.
//!
//! A test takes [`Cluster::shared`] and a [`Cluster::namespace`] of its own, or, to end and restart programs, starts a
//! [`Cluster`] for itself.

pub mod admission;
mod audit;
pub mod certificates;
mod component;
mod crds;
mod programs;
pub mod rights;
pub(crate) mod server;
mod shared;
mod user;

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, RandomState},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::{Api, Client, api::PostParams};
use serde_json::json;
use tempfile::TempDir;

use self::{certificates::Authority, component::Setup, server::Server, user::Access};
pub use self::{component::Component, programs::programs, shared::Shared, user::User};
use crate::process::{self, Finished, scratch};

/// For what the control plane does by itself soon after a change. Generous: a loaded machine must not fail a test.
const SOON: Duration = Duration::from_mins(1);

/// What a control plane is made of, beside etcd and the API server.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Runs a scheduler.
    pub scheduler: Option<Scheduler>,
    /// Runs a controller manager. Without it, deleted namespaces stay, owners do not take what they own with them, and
    /// pods need no service account.
    pub controller_manager: bool,
    /// Has the API server log every change, with what admission said of it: see [`Cluster::audit_events`].
    pub audit: bool,
    /// More flags, such as `--audit-log-path=-`; a later flag beats an earlier one.
    pub flags: BTreeMap<Component, Vec<String>>,
}

/// How the scheduler is configured.
#[derive(Clone, Debug, Default)]
pub struct Scheduler {
    /// Lines added to its `KubeSchedulerConfiguration`, such as `extenders:` or `profiles:`.
    pub configuration: String,
}

/// A running control plane. Its programs end with it.
#[derive(Debug)]
pub struct Cluster {
    /// Ended in the order of components: who depends on another goes first.
    servers: BTreeMap<Component, Server>,
    admin: User,
    access: Access,
    authority: Authority,
    accounts: bool,
    /// Data, keys, kubeconfig files; removed at last.
    folder: TempDir,
}

impl Cluster {
    /// Starts a control plane and returns when all of it is ready.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix_in("cluster-", scratch()?)?;
        let mut setup = Setup {
            programs: programs().await?.to_owned(),
            folder: folder.path().to_owned(),
            flags: options.flags,
        };
        let authority = Authority::new("stowage-test")?;
        setup.write_keys(&authority)?;
        if options.audit {
            let flags = setup.flags.entry(Component::ApiServer).or_default();
            flags.extend(audit::flags(folder.path())?);
        }
        let mut access = Access {
            // The port is known once the API server has one.
            url: "https://127.0.0.1".to_owned(),
            authority: authority.certificate(),
            admin: authority.client("admin", "system:masters")?,
            kubectl: setup.programs.join("kubectl"),
            folder: setup.folder.clone(),
        };

        let etcd = Server::start(|| setup.etcd()).await.context("start etcd")?;
        let template = access.admin().await?;
        let accounts = options.controller_manager;
        let api_server = Server::start(|| setup.api_server(&etcd.url(), template.config(), accounts))
            .await
            .context("start kube-apiserver")?;
        access.url = api_server.url();
        let admin = access.admin().await?;
        let mut servers = BTreeMap::from([(Component::Etcd, etcd), (Component::ApiServer, api_server)]);
        if options.controller_manager {
            let launch = || setup.controller_manager(admin.config(), admin.kubeconfig());
            let server = Server::start(launch)
                .await
                .context("start kube-controller-manager")?;
            servers.insert(Component::ControllerManager, server);
        }
        if let Some(scheduler) = options.scheduler {
            let launch = || setup.scheduler(admin.config(), admin.kubeconfig(), &scheduler.configuration);
            let server = Server::start(launch).await.context("start kube-scheduler")?;
            servers.insert(Component::Scheduler, server);
        }
        Ok(Self {
            servers,
            admin,
            access,
            authority,
            accounts,
            folder,
        })
    }

    /// Who may do everything.
    pub fn admin(&self) -> &User {
        &self.admin
    }

    /// A new client of the administrator. It belongs to the runtime that it was made on: a test makes its own.
    pub fn client(&self) -> anyhow::Result<Client> {
        self.admin.client()
    }

    /// A kubeconfig file of the administrator.
    pub fn kubeconfig(&self) -> &Path {
        self.admin.kubeconfig()
    }

    /// Runs kubectl as the administrator.
    pub async fn kubectl(&self, args: &[&str]) -> anyhow::Result<Finished> {
        self.admin.kubectl(args).await
    }

    /// Applies manifests as the administrator; fails with what kubectl says.
    pub async fn apply_yaml(&self, yaml: &str) -> anyhow::Result<Finished> {
        self.admin.apply(yaml).await
    }

    /// Signs certificates of webhooks and other servers of the test.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Makes a namespace for one test, and returns its name when it can be used.
    pub async fn namespace(&self) -> anyhow::Result<String> {
        let client = self.client()?;
        let name = unique("test");
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        Api::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await?;
        if self.accounts {
            // Pods are refused until it is there.
            let accounts = Api::<ServiceAccount>::namespaced(client, &name);
            process::eventually("default service account", SOON, async || {
                Ok(accounts.get_opt("default").await?.map(drop))
            })
            .await?;
        }
        Ok(name)
    }

    /// Kills a program, as a crash would, and returns when it has ended.
    pub fn kill(&mut self, component: Component) -> anyhow::Result<()> {
        self.server(component)?.kill()
    }

    /// Asks a program to end, and returns when it has ended.
    pub async fn terminate(&mut self, component: Component) -> anyhow::Result<()> {
        self.server(component)?.terminate().await
    }

    /// Starts a program again, with its ports and data; one that runs is killed first. Returns when it is ready, and the
    /// API server too where that runs.
    pub async fn restart(&mut self, component: Component) -> anyhow::Result<()> {
        self.server(component)?.restart().await?;
        let api_server = self.server(Component::ApiServer)?;
        if api_server.is_running() {
            api_server.ready().await?;
        }
        Ok(())
    }

    /// What a program printed since it was started.
    pub fn output(&self, component: Component) -> anyhow::Result<String> {
        Ok(self.running(component)?.process().output())
    }

    /// Memory that a program has now, in bytes.
    pub fn resident_bytes(&self, component: Component) -> anyhow::Result<u64> {
        self.running(component)?.process().resident_bytes()
    }

    fn server(&mut self, component: Component) -> anyhow::Result<&mut Server> {
        self.servers
            .get_mut(&component)
            .with_context(|| format!("this cluster has no {}", component.program()))
    }

    fn running(&self, component: Component) -> anyhow::Result<&Server> {
        self.servers
            .get(&component)
            .with_context(|| format!("this cluster has no {}", component.program()))
    }
}

/// A name that no other object has.
fn unique(prefix: &str) -> String {
    format!("{prefix}-{:016x}", RandomState::new().hash_one(prefix))
}
