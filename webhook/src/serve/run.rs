//! Starts the parts and waits for the end.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use kit::{admin, drain::Drain, exit::UsageError};
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use super::{CertificateArgs, ServeArgs};
use crate::{
    Kind, Operation, Options, Request, Snapshot,
    certs::{self, Current, issue, keeper::Keeping, mounted, plan::Wanted, secret},
    default,
    health::Health,
    server::{App, Limits, listen, metrics::Metrics, router},
    validate, watch,
};

/// How long the API server may be silent: longer than a watch call, which it ends itself.
const READ_TIMEOUT: Duration = Duration::from_secs(watch::WATCH_TIMEOUT as u64 + 15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A certificate lives at least this long: in the last third the leader has several turns, and replicas read the new one.
const SHORTEST_LIFE: Duration = Duration::from_mins(1);

/// Serves until a signal, and until what was in flight then is done.
pub(super) async fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let max_body = usize::try_from(args.max_body.0).unwrap_or(usize::MAX);
    check(args)?;
    let drain = Drain::new(args.shutdown_timeout);
    kit::drain::start_on_signal(&drain).context("install signal handlers")?;
    let client = client(args).await?;
    let health = Health::new(&[certs::PART, watch::PART]);
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);

    warm_up(&args.rules.options());
    let webhooks = listen_on(SocketAddr::new(args.bind, args.port)).await?;
    let probes = admin::probes(health.readiness().clone(), drain.clone());
    let probes = serve_admin(SocketAddr::new(args.bind, args.probe_port), probes, &drain).await?;
    let scrape = admin::metrics(Arc::new(registry));
    let scrapes = serve_admin(SocketAddr::new(args.bind, args.metrics_port), scrape, &drain).await?;

    let current = Current::new(health.clone(), metrics.clone());
    let snapshot = watch::start(&client, &args.namespace, health, metrics.clone(), &drain);
    certificates(args, &client, &current, &metrics, &drain);
    let app = App {
        snapshot,
        options: args.rules.options(),
        limits: Limits::new(args.max_in_flight, max_body),
        metrics,
        drain: drain.clone(),
    };
    let addr = webhooks.local_addr()?;
    tracing::info!(%addr, %probes, metrics = %scrapes, mode = ?args.rules.mode, "listening");
    let tls = listen::tls(Arc::new(current)).context("set up TLS")?;
    listen::serve(
        webhooks,
        tls,
        router(&Arc::new(app)),
        drain.clone(),
        args.drain_delay,
    )
    .await;
    // The lease is given back by then.
    drain.finished().await;
    Ok(())
}

/// Schemas and tables are made when they are first used: not by the first review, which has a timeout.
fn warm_up(options: &Options) {
    let snapshot = Snapshot::default();
    for kind in Kind::ALL {
        let object = serde_json::json!({
            "apiVersion": kind.api_version(), "kind": kind.name(), "metadata": {"name": "x"}, "spec": {},
        });
        let request = Request {
            operation: Operation::Create,
            kind,
            namespace: "x",
            name: "x",
            object: Some(&object),
            old: None,
        };
        default(&request, &snapshot, options);
        validate(&request, &snapshot, options);
    }
}

fn check(args: &ServeArgs) -> Result<(), UsageError> {
    if args.max_body.0 < 1024 {
        return Err(UsageError::msg("--max-body must be at least 1KiB"));
    }
    if args.certificates.cert_lifetime < SHORTEST_LIFE {
        return Err(UsageError::msg(format!(
            "--cert-lifetime {} is too short: at least 1m is needed, so that there is time to replace a certificate",
            humantime::format_duration(args.certificates.cert_lifetime)
        )));
    }
    if args.drain_delay >= args.shutdown_timeout {
        return Err(UsageError::msg(format!(
            "--drain-delay {} must be shorter than --shutdown-timeout {}, which includes it",
            humantime::format_duration(args.drain_delay),
            humantime::format_duration(args.shutdown_timeout)
        )));
    }
    Ok(())
}

async fn client(args: &ServeArgs) -> anyhow::Result<Client> {
    let mut config = match &args.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .map_err(anyhow::Error::from)
                .map_err(UsageError)?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .map_err(anyhow::Error::from)
                .map_err(UsageError)?
        }
        None => Config::infer()
            .await
            .context("find an API server")
            .map_err(UsageError)?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    Client::try_from(config).context("set up the client of the API server")
}

/// Starts what keeps the certificate up to date.
fn certificates(args: &ServeArgs, client: &Client, current: &Current, metrics: &Metrics, drain: &Drain) {
    let CertificateArgs {
        cert_dir,
        cert_secret,
        arm,
        ..
    } = &args.certificates;
    if let Some(folder) = cert_dir {
        let (folder, current, drain) = (folder.clone(), current.clone(), drain.clone());
        tokio::spawn(async move {
            if let Err(err) = mounted::follow(&folder, &current, &drain).await {
                tracing::error!(error = format!("{err:#}"), "certificates are not followed");
                current.missing(&format!("{err:#}"));
            }
        });
    } else {
        let secrets = Api::namespaced(client.clone(), &args.namespace);
        let follow = secret::follow(secrets, cert_secret.clone(), current.clone(), drain.clone());
        tokio::spawn(follow);
    }
    if cert_dir.is_none() || *arm {
        let keeping = keeping(args);
        let keep = certs::keeper::keep(client.clone(), keeping, metrics.clone(), drain.clone());
        let held = drain.guard();
        tokio::spawn(async move {
            // The process waits for this at its end.
            let _held = held;
            keep.await;
        });
    }
}

fn keeping(args: &ServeArgs) -> Keeping {
    let certificates = &args.certificates;
    let wanted = Wanted {
        names: issue::names(&certificates.service, &args.namespace, &certificates.dns_names),
        lifetime: certificates.cert_lifetime,
    };
    let managed = certificates.cert_dir.is_none();
    Keeping {
        namespace: args.namespace.clone(),
        certificate: managed.then(|| (certificates.cert_secret.clone(), wanted)),
        configuration: certificates.configuration.clone(),
        lease: certificates.lease.clone(),
        identity: args.identity.clone().unwrap_or_else(made_up),
        arm: certificates.arm,
    }
}

fn made_up() -> String {
    format!(
        "stowage-webhook-{:016x}",
        RandomState::new().hash_one(std::process::id())
    )
}

async fn listen_on(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr)
        .await
        .with_context(|| format!("failed to listen on {addr}"))
}

async fn serve_admin(addr: SocketAddr, app: axum::Router, drain: &Drain) -> anyhow::Result<SocketAddr> {
    let listener = listen_on(addr).await?;
    let addr = listener.local_addr()?;
    tokio::spawn(admin::serve(listener, app, drain.clone()));
    Ok(addr)
}
