//! `stowage-webhook serve`: flags, and putting server, watches and certificates together.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

mod run;

use kit::args::{ByteSize, TelemetryArgs};

use self::run::run;
use crate::args::RuleArgs;

const EXAMPLES: &str = "\
Examples:
  stowage-webhook serve --cert-dir /tmp/k8s-webhook-server/serving-certs
                                      tls.crt and tls.key of a mounted Secret, as cert-manager writes them; read again
                                      when they change
  stowage-webhook serve --self-managed --arm
                                      makes an authority and a certificate, keeps both in a Secret that all replicas
                                      share, renews them, and writes the CA bundle into the webhook configurations
  stowage-webhook serve --cert-dir certs --kubeconfig ~/.kube/config --port 9443
                                      from a laptop, for webhook configurations with a URL

With --arm the webhooks start with failurePolicy Ignore; when the API server was seen to reach them, they become Fail.

A review never asks the API server: what rules look up is watched. While that is not up to date, /ready is 503 and the
rules that need it warn instead of denying.

Exit codes: 0 stopped as asked, 1 something failed, 2 wrong usage or configuration.";

/// Flags of `stowage-webhook serve`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ServeArgs {
    /// Address that everything is bound to
    #[arg(long, env = "STOWAGE_BIND", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED), value_name = "IP")]
    pub bind: IpAddr,

    /// HTTPS port of the webhooks
    #[arg(
        long,
        env = "STOWAGE_WEBHOOK_PORT",
        default_value_t = 9443,
        value_name = "PORT"
    )]
    pub port: u16,

    /// Port of /live and /ready
    #[arg(long, env = "STOWAGE_PROBE_PORT", default_value_t = 8081, value_name = "PORT")]
    pub probe_port: u16,

    /// Port of /metrics
    #[arg(
        long,
        env = "STOWAGE_METRICS_PORT",
        default_value_t = 8080,
        value_name = "PORT"
    )]
    pub metrics_port: u16,

    /// Verdicts.
    #[command(flatten)]
    pub rules: RuleArgs,

    /// Certificates.
    #[command(flatten)]
    pub certificates: CertificateArgs,

    /// Namespace of this webhook and of the ConfigMap inferenceservice-config
    #[arg(
        long,
        env = "POD_NAMESPACE",
        default_value = "kserve",
        value_name = "NAME",
        help_heading = "Cluster"
    )]
    pub namespace: String,

    /// Kubeconfig file [default: $KUBECONFIG, ~/.kube/config, or the pod's service account]
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub kubeconfig: Option<PathBuf>,

    /// Name of this replica, for the lease [default: made up]
    #[arg(long, env = "POD_NAME", value_name = "NAME", help_heading = "Cluster")]
    pub identity: Option<String>,

    /// Reviews at once; more are answered 429, and the API server tries again
    #[arg(long, env = "STOWAGE_MAX_IN_FLIGHT", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..), value_name = "N", help_heading = "Limits")]
    pub max_in_flight: u16,

    /// Largest review; an update carries two objects of up to 3 MiB each
    #[arg(
        long,
        env = "STOWAGE_MAX_BODY",
        default_value = "7MiB",
        value_name = "SIZE",
        help_heading = "Limits"
    )]
    pub max_body: ByteSize,

    /// Worker threads [default: one for each core]
    #[arg(long, env = "STOWAGE_THREADS", value_parser = clap::value_parser!(u16).range(1..=1024), value_name = "N", help_heading = "Limits")]
    pub threads: Option<u16>,

    /// How long new connections are still taken after SIGTERM, until every API server knows that this pod goes
    #[arg(long, env = "STOWAGE_DRAIN_DELAY", value_parser = kit::args::duration, default_value = "5s", value_name = "DURATION", help_heading = "Shutdown")]
    pub drain_delay: Duration,

    /// How long a shutdown may take, with that delay
    #[arg(long, env = "STOWAGE_SHUTDOWN_TIMEOUT", value_parser = kit::args::duration, default_value = "25s", value_name = "DURATION", help_heading = "Shutdown")]
    pub shutdown_timeout: Duration,
}

/// Where certificates come from.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Certificates")]
pub struct CertificateArgs {
    /// Folder with tls.crt and tls.key, read again when it changes
    #[arg(
        long,
        env = "STOWAGE_CERT_DIR",
        value_name = "DIR",
        required_unless_present = "self_managed",
        conflicts_with = "self_managed"
    )]
    pub cert_dir: Option<PathBuf>,

    /// Makes and renews the certificate, and tells the API server whom to trust
    #[arg(long, env = "STOWAGE_SELF_MANAGED")]
    pub self_managed: bool,

    /// Starts with failurePolicy Ignore, and changes it to Fail once a dry run of a bad object was denied
    #[arg(long, env = "STOWAGE_ARM")]
    pub arm: bool,

    /// Secret that holds the authority and the certificate
    #[arg(
        long,
        env = "STOWAGE_CERT_SECRET",
        default_value = "stowage-webhook-certs",
        value_name = "NAME"
    )]
    pub cert_secret: String,

    /// Service that the API server calls; the certificate is for its names
    #[arg(
        long,
        env = "STOWAGE_SERVICE",
        default_value = "stowage-webhook",
        value_name = "NAME"
    )]
    pub service: String,

    /// One more name or address that the certificate is for; may be repeated
    #[arg(
        long = "dns-name",
        env = "STOWAGE_DNS_NAMES",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub dns_names: Vec<String>,

    /// How long a certificate is valid, at least 1m; it is replaced after two thirds of that
    #[arg(long, env = "STOWAGE_CERT_LIFETIME", value_parser = kit::args::duration, default_value = "90days", value_name = "DURATION")]
    pub cert_lifetime: Duration,

    /// Name of the mutating and of the validating webhook configuration to keep up to date
    #[arg(
        long,
        env = "STOWAGE_CONFIGURATION",
        default_value = "stowage-webhook",
        value_name = "NAME"
    )]
    pub configuration: String,

    /// Lease by which replicas agree on who writes
    #[arg(
        long,
        env = "STOWAGE_LEASE",
        default_value = "stowage-webhook",
        value_name = "NAME"
    )]
    pub lease: String,
}

/// Builds the runtime and serves until a signal.
pub fn main(telemetry: &TelemetryArgs, args: &ServeArgs) -> anyhow::Result<()> {
    kit::telemetry::init(telemetry)?;
    kit::threads::runtime(args.threads)?.block_on(run(args))
}
