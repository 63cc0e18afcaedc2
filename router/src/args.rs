//! Flags and environment of `stowage-router`: ModelMesh's names where it has them.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context as _;
use kit::{
    args::{ByteSize, TelemetryArgs},
    exit::UsageError,
};

mod cluster;
pub mod compat;
mod tls;

pub use self::{
    cluster::{ClusterArgs, ClusterConfig, StoreConfig},
    compat::{CompatArgs, CompatConfig},
    tls::{ClientAuth, PeerTls, TlsArgs, TlsConfig},
};
use crate::{
    cache::CacheOptions, listen::ListenOptions, mesh::MeshOptions, plane::PlaneOptions, rest::RestOptions,
    rules::Rules, upstream::Endpoint,
};

/// Routes inference calls to models, and keeps the models that are used loaded
///
/// Runs beside a model runtime (`stowage-adapter`, or any server of mmesh.ModelRuntime) and serves gRPC, REST V2 and
/// ModelMesh's management calls in front of it.
#[derive(clap::Parser, Debug)]
#[command(name = "stowage-router", version, after_help = EXAMPLES)]
pub struct Args {
    /// Address that everything is bound to
    #[arg(long, env = "STOWAGE_BIND", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED), value_name = "IP")]
    pub bind: IpAddr,

    /// gRPC port
    #[arg(long, env = api::names::env::MM_SVC_GRPC_PORT, default_value_t = api::names::ports::GRPC, value_name = "PORT")]
    pub grpc_port: u16,

    /// REST port
    #[arg(long, env = api::names::env::REST_PROXY_LISTEN_PORT, default_value_t = api::names::ports::REST, value_name = "PORT")]
    pub rest_port: u16,

    /// Port of /ready and /live, or NONE
    #[arg(long, env = api::names::env::MM_PROBE_PORT, default_value_t = OptionalPort(Some(api::names::ports::PROBE)), value_name = "PORT")]
    pub probe_port: OptionalPort,

    /// Port of /prestop
    #[arg(long, env = api::names::env::MM_PRESTOP_WAIT_PORT, default_value_t = api::names::ports::PRESTOP, value_name = "PORT")]
    pub prestop_port: u16,

    /// Metrics: `disabled`, or `prometheus` with settings after a colon, like `prometheus:port=2112;per_model_metrics=true`
    #[arg(long, env = api::names::env::MM_METRICS, default_value = "prometheus", value_name = "SETTING")]
    pub metrics: MetricsSetting,

    /// TCP port of the runtime on localhost [default: the socket /tmp/mmesh/grpc.sock if it exists, else 8085]
    #[arg(long, env = api::names::env::INTERNAL_GRPC_PORT, conflicts_with = "runtime_socket", value_name = "PORT")]
    pub runtime_port: Option<u16>,

    /// Unix socket of the runtime
    #[arg(long, env = api::names::env::INTERNAL_GRPC_SOCKET_PATH, value_name = "PATH")]
    pub runtime_socket: Option<PathBuf>,

    /// TCP port of the model server on localhost, where inference calls go [default: the runtime's]
    #[arg(long, env = api::names::env::INTERNAL_SERVING_GRPC_PORT, conflicts_with = "serving_socket", value_name = "PORT")]
    pub serving_port: Option<u16>,

    /// Unix socket of the model server, where inference calls go
    #[arg(long, env = api::names::env::INTERNAL_SERVING_GRPC_SOCKET_PATH, value_name = "PATH")]
    pub serving_socket: Option<PathBuf>,

    /// Connections to the model server [default: one for each worker thread, at most 4]
    #[arg(
        long,
        env = "STOWAGE_SERVING_CONNECTIONS",
        value_parser = clap::value_parser!(u8).range(1..=64),
        value_name = "N"
    )]
    pub serving_connections: Option<u8>,

    /// Largest message, requests and responses
    #[arg(long, env = api::names::env::MM_SVC_GRPC_MAX_MSG_SIZE, default_value = "16MiB", value_name = "SIZE")]
    pub max_message: ByteSize,

    /// Largest header list of a request
    #[arg(long, env = api::names::env::MM_SVC_GRPC_MAX_HEADERS_SIZE, default_value = "16KiB", value_name = "SIZE")]
    pub max_headers: ByteSize,

    /// Memory for requests that are kept until the runtime has answered, to be sent again when it forgot the model
    #[arg(
        long,
        env = "STOWAGE_REPLAY_MEMORY",
        default_value = "64MiB",
        value_name = "SIZE"
    )]
    pub replay_memory: ByteSize,

    /// How ids are found in messages, as JSON
    #[arg(long, env = api::names::env::MM_DATAPLANE_CONFIG, conflicts_with = "dataplane_config_path", value_name = "JSON")]
    pub dataplane_config: Option<String>,

    /// The same in a file
    #[arg(long, env = api::names::env::MM_DATAPLANE_CONFIG_PATH, value_name = "FILE")]
    pub dataplane_config_path: Option<PathBuf>,

    /// Models of one call with several ids that run at once
    #[arg(long, env = api::names::env::MM_MULTI_PARALLELISM, default_value_t = 4, value_name = "N")]
    pub multi_parallelism: u16,

    /// How long a failed load is remembered; a bare number is milliseconds
    #[arg(long, env = api::names::env::MM_LOAD_FAILURE_EXPIRY_TIME_MS, default_value = "15m", value_parser = kit::args::duration_ms, value_name = "TIME")]
    pub load_failure_expiry: Duration,

    /// Requests that may wait for one copy: 0 = max(16, 8 x its concurrency), negative = no limit
    #[arg(long, env = api::names::env::MM_MAX_INFLIGHT_PER_MODEL_COPY, default_value_t = 0, allow_negative_numbers = true, value_name = "N")]
    pub max_inflight_per_copy: i64,

    /// The runtime's own status codes and texts instead of ModelMesh's (UNAVAILABLE as INTERNAL, texts with the method before them)
    #[arg(long, env = "STOWAGE_PLAIN_STATUSES", value_name = "BOOL")]
    pub plain_statuses: bool,

    /// Codes that tell overload, a bad model and a slow one apart, instead of ModelMesh's INTERNAL
    #[arg(long, env = "STOWAGE_PRECISE_STATUSES", value_name = "BOOL")]
    pub precise_statuses: bool,

    /// Longest life of a call whose client sets no deadline
    #[arg(long, env = "STOWAGE_LONGEST_CALL", default_value = "1h", value_parser = kit::args::duration, value_name = "TIME")]
    pub longest_call: Duration,

    /// How long a shutdown may take; a bare number is milliseconds
    #[arg(long, env = api::names::env::SHUTDOWN_TIMEOUT_MS, default_value = "30s", value_parser = kit::args::duration_ms, value_name = "TIME")]
    pub shutdown_timeout: Duration,

    /// Owner of vmodels that are set without one
    #[arg(
        long,
        env = "MM_DEFAULT_VMODEL_OWNER",
        default_value = "",
        value_name = "NAME"
    )]
    pub default_vmodel_owner: String,

    /// Name of this instance, in statuses and among other routers (there its last 12 characters)
    #[arg(long, env = "WKUBE_POD_NAME", default_value = "local", value_name = "NAME")]
    pub instance: String,

    /// TLS.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// Other routers.
    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// `ModelMesh`.
    #[command(flatten)]
    pub compat: CompatArgs,

    /// Worker threads [default: one for each core]
    #[arg(long, env = "STOWAGE_THREADS", value_parser = clap::value_parser!(u16).range(1..=1024), value_name = "N")]
    pub threads: Option<u16>,

    /// Logging.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

const EXAMPLES: &str = "Examples:
  stowage-router                              in front of a runtime on /tmp/mmesh/grpc.sock or localhost:8085
  stowage-router --runtime-port 8085 --serving-port 8001
                                              a runtime that takes inference calls on another port
  stowage-router --bind 127.0.0.1 --grpc-port 9033 --metrics prometheus:port=9112

Every flag can be set by the environment variable named beside it.

Exit codes: 0 stopped as asked, 1 something failed, 2 wrong usage or configuration.";

/// A port, or `NONE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionalPort(pub Option<u16>);

impl std::str::FromStr for OptionalPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self(None));
        }
        text.parse()
            .map(|port| Self(Some(port)))
            .map_err(|_| "expected a port (0 to 65535) or NONE".into())
    }
}

impl std::fmt::Display for OptionalPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(port) => port.fmt(f),
            None => f.write_str("NONE"),
        }
    }
}

/// What `MM_METRICS` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsSetting {
    /// Port of `/metrics`; `None` = disabled.
    pub port: Option<u16>,
    /// Over HTTPS.
    pub https: bool,
    /// Label series with the model.
    pub per_model: bool,
    /// Label series with `package.Service/Method` instead of `Method`.
    pub full_names: bool,
}

impl std::str::FromStr for MetricsSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, settings) = text.split_once(':').unwrap_or((text, ""));
        match kind {
            "disabled" => {
                return Ok(Self {
                    port: None,
                    https: false,
                    per_model: false,
                    full_names: false,
                });
            }
            "prometheus" => {}
            "statsd" => {
                return Err(
                    "statsd is not supported: use \"prometheus\", and an exporter where \
                            only statsd will do"
                        .into(),
                );
            }
            _ => {
                return Err(format!(
                    "{kind:?} is not supported: \"prometheus\" or \"disabled\" is expected"
                ));
            }
        }
        let mut setting = Self {
            port: Some(api::names::ports::METRICS),
            // As upstream, which scrapers are set up for.
            https: cfg!(feature = "tls"),
            per_model: false,
            full_names: false,
        };
        for part in settings.split(';').filter(|part| !part.is_empty()) {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?} must be key=value"))?;
            match key {
                "port" => {
                    setting.port = Some(value.parse().map_err(|_| format!("port {value:?} is no port"))?);
                }
                "per_model_metrics" => {
                    setting.per_model = value
                        .parse()
                        .map_err(|_| format!("per_model_metrics {value:?} must be true or false"))?;
                }
                "scheme" => {
                    setting.https = match value {
                        "http" => false,
                        "https" if cfg!(feature = "tls") => true,
                        "https" => {
                            return Err("this program is built without TLS: scheme=http is needed".into());
                        }
                        _ => return Err(format!("scheme {value:?} must be https or http")),
                    };
                }
                "fq_names" => {
                    setting.full_names = value
                        .parse()
                        .map_err(|_| format!("fq_names {value:?} must be true or false"))?;
                }
                // Of the JVM, or of statsd: nothing to set here.
                "mem_detail" | "legacy" => {}
                _ => {
                    return Err(format!(
                        "unknown setting {key:?}: port, scheme, per_model_metrics and fq_names are known"
                    ));
                }
            }
        }
        Ok(setting)
    }
}

/// Where upstream's runtimes listen by default.
const DEFAULT_SOCKET: &str = "/tmp/mmesh/grpc.sock";

/// Checked settings of a router.
#[derive(Debug)]
pub struct Config {
    /// gRPC address.
    pub grpc: SocketAddr,
    /// REST address.
    pub rest: SocketAddr,
    /// Probe address.
    pub probes: Option<SocketAddr>,
    /// `/prestop` address.
    pub prestop: SocketAddr,
    /// Metrics address.
    pub metrics: Option<SocketAddr>,
    /// Metrics over HTTPS, with a certificate made at the start where there is no other.
    pub metrics_https: bool,
    /// Label series with the model.
    pub per_model_metrics: bool,
    /// Label series with the method's service.
    pub full_method_names: bool,
    /// Runtime SPI.
    pub runtime: Endpoint,
    /// Model server.
    pub serving: Endpoint,
    /// Connections to the model server.
    pub connections: usize,
    /// Listener limits.
    pub listen: ListenOptions,
    /// REST limits.
    pub rest_options: RestOptions,
    /// Cache limits.
    pub cache: CacheOptions,
    /// Registry limits.
    pub mesh: MeshOptions,
    /// Data plane limits.
    pub plane: PlaneOptions,
    /// Extraction rules.
    pub rules: Rules,
    /// File of the extraction rules, to be read again when it changes.
    pub rules_path: Option<PathBuf>,
    /// How long a shutdown may take.
    pub grace: Duration,
    /// TLS; `None` = clear text.
    pub tls: Option<TlsConfig>,
    /// Where models are registered.
    pub store: StoreConfig,
    /// Other routers; `None` = this one is alone.
    pub cluster: Option<ClusterConfig>,
    /// What pods bring along that were made for `ModelMesh`.
    pub compat: CompatConfig,
}

impl Args {
    /// Checks everything that can be checked without doing anything.
    pub fn config(&self) -> anyhow::Result<Config> {
        let rules = self.rules()?;
        let endpoint = |port: Option<u16>, socket: &Option<PathBuf>| match (port, socket) {
            (Some(port), _) => Some(Endpoint::Tcp((Ipv4Addr::LOCALHOST, port).into())),
            (None, Some(path)) => Some(Endpoint::Unix(path.clone())),
            (None, None) => None,
        };
        let runtime = endpoint(self.runtime_port, &self.runtime_socket).unwrap_or_else(|| {
            let socket = PathBuf::from(DEFAULT_SOCKET);
            if socket.exists() {
                Endpoint::Unix(socket)
            } else {
                Endpoint::Tcp((Ipv4Addr::LOCALHOST, api::names::ports::RUNTIME).into())
            }
        });
        let serving = endpoint(self.serving_port, &self.serving_socket).unwrap_or_else(|| runtime.clone());
        let message_limit = size("--max-message", self.max_message, u64::from(u32::MAX))?;
        let at = |port| SocketAddr::new(self.bind, port);
        Ok(Config {
            grpc: at(self.grpc_port),
            rest: at(self.rest_port),
            probes: self.probe_port.0.map(at),
            prestop: at(self.prestop_port),
            metrics: self.metrics.port.map(at),
            metrics_https: self.metrics.https,
            per_model_metrics: self.metrics.per_model,
            full_method_names: self.metrics.full_names,
            runtime,
            serving,
            connections: self.connections(),
            listen: ListenOptions {
                header_list: u32::try_from(size("--max-headers", self.max_headers, 1 << 20)?)
                    .unwrap_or(u32::MAX),
                age: self.compat.max_connection_age,
                age_grace: self.compat.max_connection_age_grace,
                ..ListenOptions::default()
            },
            rest_options: RestOptions {
                max_message: message_limit,
                ..RestOptions::default()
            },
            cache: CacheOptions {
                load_failure_expiry: self.load_failure_expiry,
                max_inflight_per_copy: self.max_inflight_per_copy,
                ..CacheOptions::default()
            },
            mesh: MeshOptions {
                instance_id: self.instance.clone(),
                default_vmodel_owner: self.default_vmodel_owner.clone(),
                failure_expiry: self.load_failure_expiry,
                precise_statuses: self.precise_statuses,
                ..MeshOptions::default()
            },
            plane: PlaneOptions {
                message_limit,
                replay_budget: size("--replay-memory", self.replay_memory, u64::MAX)?,
                parallelism: usize::from(self.multi_parallelism),
                plain_statuses: self.plain_statuses,
                longest_call: self.longest_call,
            },
            rules,
            rules_path: self.dataplane_config_path.clone(),
            grace: self.shutdown_timeout,
            tls: self.tls.config()?,
            store: self.cluster.store()?,
            cluster: self.cluster.cluster(self.bind, &self.instance)?,
            compat: self.compat.config()?,
        })
    }

    /// Calls that share a connection share its writes and reads, and its lock: one for each thread that takes calls.
    fn connections(&self) -> usize {
        let threads = || match self.threads {
            Some(threads) => usize::from(threads),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        self.serving_connections
            .map_or_else(|| threads().min(4), usize::from)
    }

    fn rules(&self) -> anyhow::Result<Rules> {
        let json = match (&self.dataplane_config, &self.dataplane_config_path) {
            (Some(json), _) => json.clone(),
            (None, Some(path)) => std::fs::read_to_string(path)
                .with_context(|| format!("read data plane configuration {}", path.display()))
                .map_err(UsageError)?,
            (None, None) => return Ok(Rules::default()),
        };
        Ok(Rules::from_json(&json)
            .map_err(anyhow::Error::from)
            .map_err(UsageError)?)
    }
}

fn size(flag: &str, value: ByteSize, most: u64) -> anyhow::Result<usize> {
    let bytes = value.0;
    if bytes > most || bytes == 0 {
        return Err(UsageError::msg(format!("{flag} {value} is out of range: 1 to {most} bytes")).into());
    }
    usize::try_from(bytes).with_context(|| format!("{flag} {value} does not fit this machine"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn config(args: &[&str]) -> anyhow::Result<Config> {
        Args::try_parse_from([&["stowage-router"], args].concat())
            .map_err(anyhow::Error::from)?
            .config()
    }

    #[test]
    fn upstreams_defaults() {
        let config = config(&["--runtime-port", "8085"]).expect("valid");
        assert_eq!(
            (config.grpc.port(), config.rest.port(), config.prestop.port()),
            (8033, 8008, 8090)
        );
        assert_eq!(config.probes.map(|addr| addr.port()), Some(8089));
        assert_eq!(config.metrics.map(|addr| addr.port()), Some(2112));
        assert_eq!(config.plane.message_limit, 16_777_216);
        assert_eq!(config.serving, config.runtime);
    }

    #[test]
    fn mistakes_name_the_flag() {
        let error = |args: &[&str]| format!("{:#}", config(args).expect_err("refused"));
        assert!(error(&["--runtime-port", "1", "--runtime-socket", "/x"]).contains("--runtime-socket"));
        assert!(error(&["--dataplane-config", "{"]).contains("data plane configuration"));
        assert!(error(&["--metrics", "statsd"]).contains("statsd"));
        assert!(error(&["--metrics", "prometheus:port=x"]).contains("port"));
        assert!(error(&["--probe-port", "maybe"]).contains("NONE"));
        assert!(error(&["--max-message", "0"]).contains("--max-message"));
    }

    #[test]
    fn metrics_settings() {
        let read = |text: &str| text.parse::<MetricsSetting>().expect("valid");
        assert_eq!(read("disabled").port, None);
        let set = read("prometheus:port=9000;scheme=http;per_model_metrics=true");
        assert_eq!((set.port, set.per_model, set.https), (Some(9000), true, false));
        assert_eq!(read("prometheus").https, cfg!(feature = "tls"), "as upstream");
        assert!("prometheus:scheme=gopher".parse::<MetricsSetting>().is_err());
    }
}
