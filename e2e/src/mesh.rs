//! Many `stowage-router` processes that share a store, each with an example runtime beside it, set up by the environment
//! that modelmesh-serving gives its pods.
//!
//! The runtimes live in this process, so that a test sees what each was asked to do. A router that is ended takes its
//! models along, as a pod does: the next router at the same runtime finds it empty.

mod calls;
mod etcd;
mod http;
mod pod;
mod traffic;

use std::time::Duration;

use anyhow::Context as _;

pub use self::{
    calls::{Asked, Predictor, Refused, model},
    etcd::Etcd,
    http::get,
    pod::{Pod, Ports},
    traffic::Traffic,
};
use crate::{example_runtime::Options, port};

/// How long anything may take that should happen soon. Generous: a loaded machine must not fail a test.
pub const SOON: Duration = Duration::from_mins(1);

/// What a mesh is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Pods.
    pub pods: usize,
    /// They share an etcd; else there is one, which keeps its models in memory.
    pub etcd: bool,
    /// Settings of each runtime.
    pub runtime: Options,
    /// More environment of each router.
    pub env: Vec<(String, String)>,
    /// More environment of single routers, by their index.
    pub each: Vec<Vec<(String, String)>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pods: 1,
            etcd: false,
            runtime: Options::default(),
            env: Vec::new(),
            each: Vec::new(),
        }
    }
}

impl Settings {
    /// So many pods that share an etcd.
    pub fn cluster(pods: usize) -> Self {
        Self {
            pods,
            etcd: true,
            ..Self::default()
        }
    }

    /// Sets a variable of each router.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Sets a variable of one router.
    #[must_use]
    pub fn env_of(mut self, pod: usize, name: &str, value: impl Into<String>) -> Self {
        self.each.resize_with(self.each.len().max(pod + 1), Vec::new);
        self.each[pod].push((name.to_owned(), value.into()));
        self
    }

    /// Sets up the runtimes.
    #[must_use]
    pub fn runtime(mut self, runtime: Options) -> Self {
        self.runtime = runtime;
        self
    }
}

/// How often other ports are tried.
const STARTS: u32 = 4;

/// A running mesh. Everything ends when it is dropped; the routers' output is shown when the test fails.
#[derive(Debug)]
pub struct Mesh {
    settings: Settings,
    pods: Vec<Pod>,
    etcd: Option<Etcd>,
    /// Pods so far: no two have the same name.
    named: usize,
    replica_set: u32,
}

impl Mesh {
    /// Starts everything, and waits until every router is ready; again when another program was quicker to take a port.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let mut tries = 0..STARTS;
        loop {
            match Self::try_start(settings.clone()).await {
                Err(err) if tries.next().is_some() && port::was_taken(&format!("{err:#}")) => {}
                started => return started,
            }
        }
    }

    async fn try_start(settings: Settings) -> anyhow::Result<Self> {
        let etcd = if settings.etcd {
            Some(Etcd::start().await?)
        } else {
            None
        };
        let mut mesh = Self {
            pods: Vec::new(),
            etcd,
            named: 0,
            replica_set: 0x7c_9d0f,
            settings,
        };
        for _ in 0..mesh.settings.pods {
            mesh.add_starting().await?;
        }
        for pod in &mut mesh.pods {
            pod.wait_ready().await?;
        }
        Ok(mesh)
    }

    /// Adds a pod without waiting for it; gives its index.
    pub async fn add_starting(&mut self) -> anyhow::Result<usize> {
        let index = self.pods.len();
        let mut env = self.settings.env.clone();
        env.extend(self.settings.each.get(index).into_iter().flatten().cloned());
        if let Some(etcd) = &self.etcd {
            env.push(("KV_STORE".to_owned(), format!("etcd:{}", etcd.address())));
        }
        // As Kubernetes names them: the last twelve characters begin with those of the replica set.
        let name = format!("stowage-{:06x}-x{:04}", self.replica_set, self.named);
        self.named += 1;
        let pod = Pod::start(name, self.settings.runtime.clone(), env).await?;
        self.pods.push(pod);
        Ok(index)
    }

    /// Pods that are added from now on are of another version.
    pub fn roll_out(&mut self) {
        self.replica_set += 1;
    }

    /// Adds a pod and waits until it is ready; gives its index.
    pub async fn add(&mut self) -> anyhow::Result<usize> {
        let index = self.add_starting().await?;
        self.pods[index].wait_ready().await?;
        Ok(index)
    }

    /// A pod by its index.
    pub fn pod(&self, index: usize) -> &Pod {
        &self.pods[index]
    }

    /// A pod by its index, to be ended or started again.
    pub fn pod_mut(&mut self, index: usize) -> &mut Pod {
        &mut self.pods[index]
    }

    /// All pods.
    pub fn pods(&self) -> &[Pod] {
        &self.pods
    }

    /// The store.
    pub fn etcd(&mut self) -> anyhow::Result<&mut Etcd> {
        self.etcd.as_mut().context("this mesh has no etcd")
    }

    /// Fails, with its output, when a router that should run does not.
    pub fn check_running(&mut self) -> anyhow::Result<()> {
        self.pods.iter_mut().try_for_each(Pod::check_running)
    }
}
