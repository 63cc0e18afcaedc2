//! What pods bring along that were made for `ModelMesh`: observers of calls, models to register at the start, old names.

use std::{env, ffi::OsString, path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::{ArgAction, Parser as _};
use kit::exit::UsageError;

use super::Args;
use crate::{
    metrics::info::InfoMetric,
    observe::{LoggedHeader, logged_headers},
    payload::{MetadataRule, PayloadOptions, Processor, processors},
    start::{AutoModel, auto_models},
};

/// Authorities of the system, as Debian and its relatives keep them.
const SYSTEM_TRUST: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Settings of `ModelMesh`'s containers.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "As ModelMesh")]
pub struct CompatArgs {
    /// Log every call at info; also the setting `log_each_invocation` in the store
    #[arg(
        long,
        env = "MM_LOG_EACH_INVOKE",
        default_value_t = false,
        action = ArgAction::Set,
        num_args = 0..=1,
        default_missing_value = "true",
        value_name = "BOOL"
    )]
    pub log_each_invoke: bool,

    /// Request headers that go to the log of calls, as JSON: {"HEADER": "NAME IN THE LOG"}
    #[arg(long, env = "MM_LOG_REQUEST_HEADERS", value_name = "JSON")]
    pub log_request_headers: Option<String>,

    /// Where copies of requests and responses go: URIs between spaces, http(s)://HOST/PATH?MODEL#METHOD or logger://
    #[arg(
        long,
        env = "MM_PAYLOAD_PROCESSORS",
        default_value = "",
        hide_default_value = true,
        value_name = "URIS"
    )]
    pub payload_processors: String,

    /// Copies that are sent at once
    #[arg(
        long,
        env = "MM_PAYLOAD_PROCESSORS_THREADS",
        default_value_t = 2,
        value_parser = clap::value_parser!(u8).range(1..=64),
        value_name = "N"
    )]
    pub payload_threads: u8,

    /// Calls whose copies wait; those beyond are dropped and counted
    #[arg(
        long,
        env = "MM_PAYLOAD_PROCESSORS_CAPACITY",
        default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=100_000),
        value_name = "N"
    )]
    pub payload_capacity: u32,

    /// Metadata in these copies: all of it may be credentials, too
    #[arg(
        long,
        env = "STOWAGE_PAYLOAD_METADATA",
        default_value = "safe",
        value_name = "WHICH"
    )]
    pub payload_metadata: MetadataRule,

    /// Authorities behind https processors, as PEM files [default: the system's]
    #[arg(
        long,
        env = "STOWAGE_PAYLOAD_TRUST",
        value_delimiter = ',',
        value_name = "FILE,..."
    )]
    pub payload_trust: Vec<PathBuf>,

    /// A gauge that is always 1, with labels from the environment: NAME;LABEL=VARIABLE,...
    #[arg(long, env = "MM_INFO_METRICS", value_name = "METRIC")]
    pub info_metrics: Option<InfoMetric>,

    /// Age at which clients are told to open another connection [default: never]; a bare number is seconds
    #[arg(long, env = "MM_SVC_GRPC_MAX_CONNECTION_AGE_SECS", value_parser = kit::args::duration_secs, value_name = "TIME")]
    pub max_connection_age: Option<Duration>,

    /// What calls on such a connection may still take [default: as long as they want]; a bare number is seconds
    #[arg(long, env = "MM_SVC_GRPC_MAX_CONNECTION_AGE_GRACE_SECS", value_parser = kit::args::duration_secs, value_name = "TIME")]
    pub max_connection_age_grace: Option<Duration>,

    /// Models to register at the start, as JSON: [{"modelId", "modelInfo": {"type", "path", "key"}, "vModelId", "ensureLoaded"}]
    #[arg(
        long,
        env = "MM_AUTO_REGISTER_MODELS",
        conflicts_with = "auto_register_models_path",
        value_name = "JSON"
    )]
    pub auto_register_models: Option<String>,

    /// The same in a file
    #[arg(long, env = "MM_AUTO_REGISTER_MODELS_PATH", value_name = "FILE")]
    pub auto_register_models_path: Option<PathBuf>,

    /// How long after its start a router may turn out unfit; a bare number is milliseconds, 0 = never
    #[arg(
        long,
        env = "BOOTSTRAP_CLEARANCE_PERIOD_MS",
        default_value = "3m",
        value_parser = kit::args::duration_ms,
        value_name = "TIME"
    )]
    pub bootstrap_clearance: Duration,

    /// Whether a router on which most loads fail then stays unready, which stops a rolling update
    #[arg(
        long,
        env = "MM_FAILFAST_UPGRADE_ENABLED",
        default_value_t = true,
        action = ArgAction::Set,
        value_name = "BOOL"
    )]
    pub failfast_upgrade: bool,
}

/// Checked settings.
#[derive(Clone, Debug)]
pub struct CompatConfig {
    /// Every call is logged.
    pub log_each: bool,
    /// With these headers.
    pub logged_headers: Vec<LoggedHeader>,
    /// Payload processors; `None` = there are none.
    pub payloads: Option<PayloadOptions>,
    /// A gauge of its own.
    pub info: Option<InfoMetric>,
    /// Registered at the start.
    pub models: Vec<AutoModel>,
    /// How long loads are watched after the start; `None` = they are not.
    pub probation: Option<Duration>,
}

impl CompatArgs {
    /// Checks them.
    pub fn config(&self) -> Result<CompatConfig, UsageError> {
        let logged_headers = match &self.log_request_headers {
            Some(json) => logged_headers(json).context("--log-request-headers")?,
            None => Vec::new(),
        };
        let processors: Vec<Processor> =
            processors(&self.payload_processors).context("--payload-processors")?;
        let payloads = (!processors.is_empty()).then(|| PayloadOptions {
            processors,
            threads: usize::from(self.payload_threads),
            capacity: usize::try_from(self.payload_capacity).unwrap_or(usize::MAX),
            metadata: self.payload_metadata,
            trust: if self.payload_trust.is_empty() {
                vec![SYSTEM_TRUST.into()]
            } else {
                self.payload_trust.clone()
            },
        });
        let probation = (self.failfast_upgrade && !self.bootstrap_clearance.is_zero())
            .then_some(self.bootstrap_clearance);
        Ok(CompatConfig {
            log_each: self.log_each_invoke,
            logged_headers,
            payloads,
            info: self.info_metrics.clone(),
            models: self.models()?,
            probation,
        })
    }

    fn models(&self) -> anyhow::Result<Vec<AutoModel>> {
        let json = match (&self.auto_register_models, &self.auto_register_models_path) {
            (Some(json), _) => json.clone(),
            (None, Some(path)) => std::fs::read_to_string(path)
                .with_context(|| format!("read the models to register {}", path.display()))?,
            (None, None) => return Ok(Vec::new()),
        };
        auto_models(&json).context("--auto-register-models")
    }
}

/// Names that variables had before; the names of today, and their flags.
const OLD_NAMES: [(&str, &str, &str); 3] = [
    ("TAS_SVC_GRPC_PORT", "MM_SVC_GRPC_PORT", "--grpc-port"),
    ("TAS_SERVICE_NAME", "MM_SERVICE_NAME", "--service-name"),
    // Upstream's second place for the store.
    ("ZOOKEEPER", "KV_STORE", "--kv-store"),
];

/// Variables of the JVM, of its libraries and of what they made up for: nothing here is set by them.
const IGNORED: [&str; 20] = [
    "HEAP_SIZE_MB",
    "MEM_LIMIT_MB",
    "MAX_DIRECT_BUFS_MB",
    "MAX_GC_PAUSE",
    "CUSTOM_JVM_ARGS",
    "NETTY_BUFFER_CHECKS",
    "GC_DIAG",
    "MM_LOG_PROMETHEUS_REQS",
    "MM_SEND_DEST_ID",
    "JVM_ARGS",
    "LL_REGISTRY",
    "LL_DISCOVERY",
    "LITELINKS_ARGS",
    "LITELINKS_JVM_ARGS",
    "WKUBE_NODE_NAME",
    "WKUBE_NODE_HOSTNAME",
    "WKUBE_NODE_IPADDR",
    "WKUBE_SERVICE_HOSTNAME",
    "WKUBE_SERVICE_IPADDR",
    "WKUBE_SERVICE_NODEPORT",
];

/// Reads the process's arguments and environment, old names of variables too.
pub fn parse() -> Result<Args, clap::Error> {
    Args::try_parse_from(with_old_names(env::args_os().collect(), |name| {
        env::var(name).ok()
    }))
}

/// Adds the flags that old names of variables stand for, where neither a flag nor today's name says otherwise.
fn with_old_names(mut words: Vec<OsString>, variable: impl Fn(&str) -> Option<String>) -> Vec<OsString> {
    for (old, new, flag) in OLD_NAMES {
        let Some(value) = variable(old).filter(|value| !value.is_empty()) else {
            continue;
        };
        let said = words.iter().filter_map(|word| word.to_str()).any(|word| {
            word.strip_prefix(flag)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        });
        if !said && variable(new).is_none() {
            words.push(format!("{flag}={value}").into());
        }
    }
    words
}

/// Variables that are set and change nothing.
pub fn ignored() -> Vec<&'static str> {
    IGNORED
        .into_iter()
        .filter(|name| env::var_os(name).is_some_and(|value| !value.is_empty()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(args: &[&str], variables: &[(&str, &str)]) -> Args {
        let all = [&["stowage-router"], args].concat();
        let all = all.into_iter().map(OsString::from).collect();
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Args::try_parse_from(with_old_names(all, variable)).unwrap()
    }

    #[test]
    fn old_names_count_where_new_ones_do_not() {
        let old = [("TAS_SVC_GRPC_PORT", "9033"), ("TAS_SERVICE_NAME", "old")];
        let args = with(&[], &old);
        assert_eq!(
            (args.grpc_port, args.cluster.service_name.as_deref()),
            (9033, Some("old"))
        );
        assert_eq!(with(&["--grpc-port", "1"], &old).grpc_port, 1);
        let zookeeper = with(&[], &[("ZOOKEEPER", "zookeeper:host")]);
        assert!(format!("{:#}", zookeeper.config().unwrap_err()).contains("ZooKeeper"));
    }

    #[test]
    fn mistakes_name_the_flag() {
        let error = |args: &[&str]| format!("{:#}", with(args, &[]).config().unwrap_err());
        assert!(error(&["--log-request-headers", "x"]).contains("--log-request-headers"));
        assert!(error(&["--payload-processors", "ftp://x"]).contains("--payload-processors"));
        assert!(error(&["--auto-register-models", "{}"]).contains("--auto-register-models"));
    }

    #[test]
    fn settings_of_a_pod() {
        let config = with(
            &[
                "--payload-processors",
                "logger:// http://sink:8080/?m#predict",
                "--failfast-upgrade",
                "false",
                "--log-each-invoke",
            ],
            &[],
        )
        .config()
        .unwrap()
        .compat;
        assert!(config.log_each && config.probation.is_none());
        assert_eq!(config.payloads.unwrap().processors.len(), 2);
    }
}
