//! Runs `stowage-router` from its settings to its end.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use kit::{
    admin::{self, Readiness},
    drain::Drain,
};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::{
    args::{Args, Config},
    listen,
    metrics::{Metrics, MetricsOptions},
    plane::Plane,
    rules::Rules,
    runtime::RemoteRuntime,
    server::{Listeners, Router, Setup},
    tls,
    upstream::{Pool, PoolOptions, Upstream},
};

/// How long a call waits for a connection to the model server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Models with series of their own, where that is asked for: what one scrape can still carry.
const LABELED_MODELS: usize = 1000;
/// How often the files of certificates are looked at.
const CERTIFICATES_INTERVAL: Duration = Duration::from_secs(5);
/// How often the file of the extraction rules is looked at.
const RULES_INTERVAL: Duration = Duration::from_secs(5);

/// Builds the runtime and runs until a signal.
pub fn main(args: &Args) -> anyhow::Result<()> {
    let config = args.config()?;
    kit::telemetry::init(&args.telemetry)?;
    kit::threads::runtime(args.threads)?.block_on(run(config))
}

async fn run(config: Config) -> anyhow::Result<()> {
    let Config {
        grpc,
        rest,
        probes,
        prestop,
        metrics,
        metrics_https,
        per_model_metrics,
        runtime,
        serving,
        connections,
        listen,
        rest_options,
        cache,
        mesh,
        plane,
        rules,
        rules_path,
        grace,
        tls,
    } = config;
    let tls = tls::Parts::read(tls.as_ref(), metrics.is_some() && metrics_https).context("set up TLS")?;
    let drain = Drain::new(grace);
    kit::drain::start_on_signal(&drain).context("install signal handlers")?;
    let readiness = Readiness::new("waiting for the model runtime");
    let listeners = match Listeners::bind(grpc, Some(rest)).await {
        // An old pod spec brings its own REST proxy: its port is taken, and that is fine.
        Err(error) if error.is_taken() && TcpListener::bind(grpc).await.is_ok() => {
            tracing::warn!(addr = %rest, "the REST port is taken; serving gRPC only");
            Listeners::bind_grpc(grpc).await?
        }
        bound => bound?,
    }
    .with_tls(tls.secured.clone());
    tls.follow(CERTIFICATES_INTERVAL, drain.clone());
    let mut registry = Registry::default();
    let max_labeled_models = if per_model_metrics { LABELED_MODELS } else { 0 };
    let counters = Metrics::new(&mut registry, MetricsOptions { max_labeled_models });
    let registry = Arc::new(registry);
    if let Some(addr) = probes {
        serve_admin(addr, admin::probes(readiness.clone(), drain.clone()), &drain).await?;
    }
    serve_admin(prestop, admin::prestop(drain.clone(), grace * 2), &drain).await?;
    if let Some(addr) = metrics {
        serve_metrics(addr, admin::metrics(registry), tls.metrics.clone(), &drain).await?;
    }
    let rest_addr = listeners.rest_addr().map(tracing::field::display);
    tracing::info!(grpc = %listeners.grpc_addr()?, rest = rest_addr, %runtime, %serving, "listening");
    let pool = Pool::new(
        serving,
        PoolOptions {
            connections,
            connect_timeout: CONNECT_TIMEOUT,
        },
    );
    let setup = Setup {
        runtime: Arc::new(RemoteRuntime::new(&runtime)),
        upstream: Upstream::Remote(pool),
        cache,
        mesh,
        plane,
        rules,
        peers: None,
    };
    let router = tokio::select! {
        started = Router::start(setup, counters, readiness) => started.context("start the model runtime")?,
        () = drain.started() => return Ok(()),
    };
    tracing::info!("ready");
    if let Some(path) = rules_path {
        tokio::spawn(follow_rules(path.into(), router.plane().clone(), drain.clone()));
    }
    listeners.serve(router, listen, rest_options, drain).await;
    Ok(())
}

async fn serve_admin(addr: SocketAddr, app: axum::Router, drain: &Drain) -> anyhow::Result<()> {
    let listener = TcpListener::bind(addr)
        .await
        .with_context(|| format!("failed to listen on {addr}"))?;
    tokio::spawn(admin::serve(listener, app, drain.clone()));
    Ok(())
}

async fn serve_metrics(
    addr: SocketAddr,
    app: axum::Router,
    tls: Option<listen::Tls>,
    drain: &Drain,
) -> anyhow::Result<()> {
    match tls {
        #[cfg(feature = "tls")]
        Some(tls) => {
            let listener = TcpListener::bind(addr)
                .await
                .with_context(|| format!("failed to listen on {addr}"))?;
            tokio::spawn(admin::serve_tls(listener, app, tls, drain.clone()));
            Ok(())
        }
        _ => serve_admin(addr, app, drain).await,
    }
}

/// Reads the rules again when the file's content changes; a broken file keeps the rules that are in force.
async fn follow_rules(path: Arc<Path>, plane: Arc<Plane>, drain: Drain) {
    let mut current = tokio::fs::read_to_string(&path).await.unwrap_or_default();
    loop {
        tokio::select! {
            () = drain.started() => return,
            () = tokio::time::sleep(RULES_INTERVAL) => {}
        }
        let Ok(text) = tokio::fs::read_to_string(&path).await else {
            continue;
        };
        if text == current {
            continue;
        }
        match Rules::from_json(&text) {
            Ok(rules) => {
                plane.set_rules(rules);
                tracing::info!(path = %path.display(), "data plane configuration read again");
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "data plane configuration not taken");
            }
        }
        current = text;
    }
}
