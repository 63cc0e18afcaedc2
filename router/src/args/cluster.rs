//! Flags of a router that is one of many.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context as _;
use kit::exit::UsageError;

use crate::core::fleet::{Constraints, scale::ScaleSettings};

/// Characters of a pod's name that make an instance's id. Source: upstream's start script.
const POD_SUFFIX: usize = 12;

/// Shorter ones end while a busy machine does something else.
const LEAST_SESSION: Duration = Duration::from_secs(2);

/// Settings of a router that shares its models with others.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Many routers")]
pub struct ClusterArgs {
    /// Where routers keep what they share: `etcd:HOST:PORT,...`, `etcd:FILE` with the connection as JSON, or `file:PATH` for
    /// one router that remembers its models [default: in memory, for one router]
    #[arg(long, env = "KV_STORE", value_name = "STORE")]
    pub kv_store: Option<String>,

    /// First part of the keys in the store
    #[arg(
        long,
        env = "MM_KVSTORE_PREFIX",
        default_value = "tas-runtime",
        value_name = "NAME"
    )]
    pub kv_prefix: String,

    /// Name of the service that the routers make up; second part of the keys in the store
    #[arg(long, env = "MM_SERVICE_NAME", value_name = "NAME")]
    pub service_name: Option<String>,

    /// Take no registrations and change no records
    #[arg(long, env = "KV_READ_ONLY", value_name = "BOOL")]
    pub kv_read_only: bool,

    /// A router that says nothing for so long is gone for the others; at least 2 s
    #[arg(long, env = "STOWAGE_SESSION", default_value = "25s", value_parser = kit::args::duration, value_name = "TIME")]
    pub session: Duration,

    /// Port for other routers
    #[arg(long, env = "STOWAGE_PEER_PORT", default_value_t = api::names::ports::PEER, value_name = "PORT")]
    pub peer_port: u16,

    /// Address under which other routers reach this one [default: the address that everything is bound to]
    #[arg(long, env = "WKUBE_POD_IPADDR", value_name = "IP")]
    pub peer_address: Option<IpAddr>,

    /// Node that this router runs on
    #[arg(long, env = "MM_LOCATION", default_value = "", value_name = "NAME")]
    pub location: String,

    /// Zone of that node: copies of a model are spread over zones
    #[arg(long, env = "MM_ZONE", default_value = "", value_name = "NAME")]
    pub zone: String,

    /// Labels of this router, for constraints of model types
    #[arg(long, env = "MM_LABELS", value_delimiter = ',', value_name = "LABEL,...")]
    pub labels: Vec<String>,

    /// Which model types may go where: `{"TYPE":{"required":["LABEL"],"preferred":["LABEL"]},"_default":{...}}`
    #[arg(
        long,
        env = "MM_TYPE_CONSTRAINTS",
        conflicts_with = "type_constraints_path",
        value_name = "JSON"
    )]
    pub type_constraints: Option<String>,

    /// The same in a file, which is read again when it changes
    #[arg(long, env = "MM_TYPE_CONSTRAINTS_PATH", value_name = "FILE")]
    pub type_constraints_path: Option<PathBuf>,

    /// Requests in a minute that are enough for one copy of a model
    #[arg(
        long,
        env = "MM_SCALEUP_RPM_THRESHOLD",
        default_value_t = 2000,
        value_parser = clap::value_parser!(u32).range(10..),
        value_name = "N"
    )]
    pub scaleup_rpm: u32,

    /// Where copies take a limited number of requests at once: percentage of it that is enough for one copy
    #[arg(
        long,
        env = "MM_CONC_SCALEUP_BANDWIDTH_PCT",
        default_value_t = 90,
        value_parser = clap::value_parser!(u32).range(10..=200),
        value_name = "PERCENT"
    )]
    pub scaleup_busy: u32,

    /// Load models into free memory before anybody asks for them
    #[arg(
        long,
        env = "STOWAGE_PROACTIVE_LOADS",
        default_value_t = true,
        action = clap::ArgAction::Set,
        value_name = "BOOL"
    )]
    pub proactive_loads: bool,

    /// Unload the last copy of a model that was not used for so long [default: never, while there is room]
    #[arg(long, env = "STOWAGE_IDLE_UNLOAD", value_parser = kit::args::duration, value_name = "TIME")]
    pub idle_unload: Option<Duration>,

    /// A full fleet takes no further model while everything in it was used within this time [default: by the runtime's
    /// load time-out, 5 minutes at 90 s]
    #[arg(long, env = "STOWAGE_MIN_CHURN_AGE", value_parser = kit::args::duration, value_name = "TIME")]
    pub min_churn_age: Option<Duration>,
}

/// Where routers keep what they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreConfig {
    /// In memory: this router is alone.
    Memory,
    /// In a file: this router is alone, and remembers.
    File(PathBuf),
    /// In etcd.
    Etcd {
        /// Where it is, with `etcd:` in front.
        connection: String,
        /// What all keys begin with, below the root that the connection may name.
        root: String,
        /// Write nothing.
        read_only: bool,
        /// A router that says nothing for so long is gone.
        session: Duration,
    },
}

/// Checked settings of a router that is one of many.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Where it listens for other routers.
    pub listen: SocketAddr,
    /// Where they reach it; port 0 = the one that it got.
    pub address: SocketAddr,
    /// Its id.
    pub instance: String,
    /// Node.
    pub location: String,
    /// Zone.
    pub zone: String,
    /// Labels.
    pub labels: Vec<String>,
    /// Which types may go where.
    pub constraints: Constraints,
    /// File of these, to be read again when it changes.
    pub constraints_path: Option<PathBuf>,
    /// When there are more copies, and when fewer.
    pub scaling: ScaleSettings,
    /// Loads ahead of requests.
    pub proactive: bool,
    /// See [`ClusterArgs::min_churn_age`].
    pub min_churn_age: Option<Duration>,
}

impl ClusterArgs {
    /// The store.
    pub fn store(&self) -> Result<StoreConfig, UsageError> {
        let Some(store) = &self.kv_store else {
            return Ok(StoreConfig::Memory);
        };
        match store.split_once(':') {
            Some(("etcd", connection)) if !connection.is_empty() => {
                if self.session < LEAST_SESSION {
                    return Err(UsageError::msg(format!(
                        "--session {}: at least {}",
                        humantime::format_duration(self.session),
                        humantime::format_duration(LEAST_SESSION)
                    )));
                }
                let Some(service) = self.service_name.as_deref().filter(|name| !name.is_empty()) else {
                    return Err(UsageError::msg(
                        "--service-name (MM_SERVICE_NAME) is needed with a store in etcd: it is a part of the keys",
                    ));
                };
                Ok(StoreConfig::Etcd {
                    connection: store.clone(),
                    root: format!("/{}/{service}/", self.kv_prefix),
                    read_only: self.kv_read_only,
                    session: self.session,
                })
            }
            Some(("file", path)) if !path.is_empty() => Ok(StoreConfig::File(path.into())),
            Some(("zookeeper", _)) => Err(UsageError::msg(
                "--kv-store: ZooKeeper is not supported; move the registrations to etcd (etcd:HOST:PORT)",
            )),
            _ => Err(UsageError::msg(format!(
                "--kv-store {store:?}: expected etcd:HOST:PORT[,...], etcd:FILE or file:PATH"
            ))),
        }
    }

    /// What makes this router one of many; `None` when it is alone.
    pub fn cluster(&self, bind: IpAddr, instance: &str) -> anyhow::Result<Option<ClusterConfig>> {
        if !matches!(self.store()?, StoreConfig::Etcd { .. }) {
            return Ok(None);
        }
        let address = match self.peer_address {
            Some(address) => address,
            None if !bind.is_unspecified() => bind,
            None => {
                return Err(UsageError::msg(
                    "--peer-address (WKUBE_POD_IPADDR) is needed with a store in etcd: other routers call there",
                )
                .into());
            }
        };
        let constraints = self.constraints()?;
        let mut scaling = ScaleSettings {
            rpm_threshold: self.scaleup_rpm,
            busy_percent: self.scaleup_busy,
            ..ScaleSettings::default()
        };
        if let Some(idle) = self.idle_unload {
            scaling.idle_unload_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        }
        Ok(Some(ClusterConfig {
            listen: SocketAddr::new(bind, self.peer_port),
            address: SocketAddr::new(address, self.peer_port),
            instance: instance_id(instance)?,
            location: self.location.clone(),
            zone: self.zone.clone(),
            labels: self
                .labels
                .iter()
                .filter(|label| !label.is_empty())
                .cloned()
                .collect(),
            constraints,
            constraints_path: self.type_constraints_path.clone(),
            scaling,
            proactive: self.proactive_loads,
            min_churn_age: self.min_churn_age,
        }))
    }

    fn constraints(&self) -> anyhow::Result<Constraints> {
        let json = match (&self.type_constraints, &self.type_constraints_path) {
            (Some(json), _) => json.clone(),
            (None, Some(path)) => std::fs::read_to_string(path)
                .with_context(|| format!("read type constraints {}", path.display()))
                .map_err(UsageError)?,
            (None, None) => return Ok(Constraints::default()),
        };
        Ok(Constraints::parse(&json)
            .map_err(anyhow::Error::from)
            .map_err(UsageError)?)
    }
}

/// The end of the pod's name, as upstream: the replica set can be told from it.
fn instance_id(name: &str) -> anyhow::Result<String> {
    let start = name.len().saturating_sub(POD_SUFFIX);
    let id = name.get(start..).unwrap_or(name);
    if id.is_empty() || id.contains([',', '/']) || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(UsageError::msg(format!(
            "--instance {name:?}: must be printable, without commas, slashes and spaces"
        ))
        .into());
    }
    Ok(id.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Config};

    fn config(args: &[&str]) -> anyhow::Result<Config> {
        Args::try_parse_from([&["stowage-router"], args].concat())
            .map_err(anyhow::Error::from)?
            .config()
    }

    #[test]
    fn a_router_is_alone_unless_told_otherwise() {
        let alone = config(&[]).unwrap();
        assert_eq!(alone.store, StoreConfig::Memory);
        assert!(alone.cluster.is_none());
        let remembers = config(&["--kv-store", "file:/tmp/x"]).unwrap();
        assert_eq!(remembers.store, StoreConfig::File("/tmp/x".into()));
    }

    #[test]
    fn a_pod_of_modelmesh_serving_is_one_of_many() {
        let config = config(&[
            "--kv-store",
            "etcd:/opt/kserve/mmesh/etcd/etcd_connection",
            "--kv-prefix",
            "mm",
            "--service-name",
            "modelmesh-serving",
            "--instance",
            "modelmesh-serving-triton-2.x-55f4d8c9b7-x2x7k",
            "--peer-address",
            "10.1.2.3",
            "--labels",
            "mt:onnx,rt:triton-2.x",
        ])
        .unwrap();
        let StoreConfig::Etcd { connection, root, .. } = config.store else {
            panic!("no etcd");
        };
        assert_eq!(
            (&*connection, &*root),
            (
                "etcd:/opt/kserve/mmesh/etcd/etcd_connection",
                "/mm/modelmesh-serving/"
            )
        );
        let cluster = config.cluster.unwrap();
        assert_eq!(cluster.instance, "d8c9b7-x2x7k");
        assert_eq!(cluster.address, "10.1.2.3:8080".parse().unwrap());
        assert_eq!(cluster.labels, ["mt:onnx", "rt:triton-2.x"]);
    }

    #[test]
    fn mistakes_name_the_flag() {
        let error = |args: &[&str]| format!("{:#}", config(args).expect_err("refused"));
        let etcd = ["--kv-store", "etcd:localhost:2379"];
        let with = |more: &[&'static str]| [&etcd[..], more].concat();
        assert!(error(&["--kv-store", "redis:x"]).contains("etcd:HOST:PORT"));
        assert!(error(&["--kv-store", "zookeeper:x"]).contains("ZooKeeper"));
        assert!(error(&etcd).contains("MM_SERVICE_NAME"));
        assert!(error(&with(&["--service-name", "s"])).contains("WKUBE_POD_IPADDR"));
        let named = ["--service-name", "s", "--bind", "127.0.0.1"];
        let bad = [&named[..], &["--instance", "a,b"]].concat();
        assert!(error(&with(&bad)).contains("--instance"));
        let bad = [&named[..], &["--type-constraints", "[]"]].concat();
        assert!(error(&with(&bad)).contains("type constraints"));
    }
}
