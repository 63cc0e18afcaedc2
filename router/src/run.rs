//! Runs `stowage-router` from its settings to its end.

mod files;
mod join;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use kit::{
    admin::{self, Readiness},
    drain::Drain,
};
use prometheus_client::registry::Registry;
use tokio::{net::TcpListener, time::Instant};

use crate::{
    args::{Args, ClusterConfig, CompatConfig, Config, compat},
    core::fleet::Constraints,
    listen,
    mesh::Mesh,
    metrics::{Metrics, MetricsOptions},
    observe,
    rules::Rules,
    runtime::RemoteRuntime,
    server::{Listeners, Router, Setup},
    start, tls,
    upstream::{Pool, PoolOptions, Upstream},
};

/// How long a call waits for a connection to the model server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Models with series of their own, where that is asked for: what one scrape can still carry.
const LABELED_MODELS: usize = 1000;
/// How often the files of certificates are looked at.
const CERTIFICATES_INTERVAL: Duration = Duration::from_secs(5);
/// Longest time that calls have to end once models are handed over.
const LONGEST_TAIL: Duration = Duration::from_secs(15);

/// Builds the runtime and runs until a signal.
pub fn main(args: &Args) -> anyhow::Result<()> {
    let config = args.config()?;
    kit::telemetry::init(&args.telemetry)?;
    let ignored = compat::ignored();
    if !ignored.is_empty() {
        tracing::info!(
            variables = ignored.join(" "),
            "variables that change nothing here"
        );
    }
    kit::threads::runtime(args.threads)?.block_on(run(config))
}

#[expect(
    clippy::too_many_lines,
    reason = "every setting is named once, and what is made of it is made in order"
)]
async fn run(config: Config) -> anyhow::Result<()> {
    let Config {
        grpc,
        rest,
        probes,
        prestop,
        metrics,
        metrics_https,
        per_model_metrics,
        full_method_names,
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
        store,
        cluster,
        compat,
    } = config;
    let tls = tls::Parts::read(tls.as_ref(), metrics.is_some() && metrics_https).context("set up TLS")?;
    // Two steps: first models are handed over while everything goes on, then calls end.
    let leaving = Drain::new(grace);
    let drain = Drain::new(if cluster.is_some() { tail(grace) } else { grace });
    kit::drain::start_on_signal(&leaving).context("install signal handlers")?;
    let gone = leaving.guard();
    let readiness = Readiness::new("waiting for the model runtime");
    let listeners = bind(grpc, rest, cluster.as_ref())
        .await?
        .with_tls(tls.secured.clone());
    tls.follow(CERTIFICATES_INTERVAL, drain.clone());
    let mut registry = Registry::default();
    let max_labeled_models = if per_model_metrics { LABELED_MODELS } else { 0 };
    let options = MetricsOptions {
        max_labeled_models,
        full_names: full_method_names,
    };
    let counters = Metrics::new(&mut registry, options);
    let CompatConfig {
        log_each,
        logged_headers,
        payloads,
        info,
        models,
        probation,
    } = compat;
    if let Some(info) = info {
        info.register(&mut registry, |name| std::env::var(name).ok());
    }
    let observers = observe::start(log_each, logged_headers, payloads, &mut registry)?;
    let registry = Arc::new(registry);
    if let Some(addr) = probes {
        serve_admin(addr, admin::probes(readiness.clone(), leaving.clone()), &drain).await?;
    }
    serve_admin(prestop, admin::prestop(leaving.clone(), grace * 2), &drain).await?;
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
        store: join::open_store(&store).await?,
        mesh: join::mesh_options(mesh, cluster.as_ref(), &listeners, tls.peers.clone()),
        plane,
        rules,
        peers: None,
    };
    let models_first = (!models.is_empty()).then(|| readiness.hold("registering models"));
    let router = tokio::select! {
        started = Router::start(setup, counters.clone(), readiness.clone()) => started.context("start the model runtime")?,
        () = leaving.started() => return Ok(()),
    };
    router.plane().set_observers(observers.clone());
    tokio::spawn(observe::follow_config(
        router.mesh().config(),
        observers,
        log_each,
    ));
    if let Some(hold) = models_first {
        let mesh = router.mesh().clone();
        tokio::spawn(async move {
            start::register(&mesh, &models).await;
            drop(hold);
        });
    }
    if let Some(period) = probation {
        tokio::spawn(start::watch_loads(counters, readiness, period, leaving.clone()));
    }
    tracing::info!("ready");
    tokio::spawn(leave(router.mesh().clone(), leaving.clone(), drain.clone()));
    follow_files(&router, cluster, rules_path, &drain);
    listeners.serve(router, listen, rest_options, drain).await;
    drop(gone);
    Ok(())
}

async fn bind(
    grpc: SocketAddr,
    rest: SocketAddr,
    cluster: Option<&ClusterConfig>,
) -> anyhow::Result<Listeners> {
    let listeners = match Listeners::bind(grpc, Some(rest)).await {
        // An old pod spec brings its own REST proxy: its port is taken, and that is fine.
        Err(error) if error.is_taken() && TcpListener::bind(grpc).await.is_ok() => {
            tracing::warn!(addr = %rest, "the REST port is taken; serving gRPC only");
            Listeners::bind_grpc(grpc).await?
        }
        bound => bound?,
    };
    Ok(match cluster {
        Some(cluster) => listeners.with_routers(cluster.listen).await?,
        None => listeners,
    })
}

/// Follows the files of settings that may change.
fn follow_files(router: &Router, cluster: Option<ClusterConfig>, rules: Option<PathBuf>, drain: &Drain) {
    if let Some(path) = cluster.and_then(|cluster| cluster.constraints_path) {
        let mesh = router.mesh().clone();
        let take = move |text: &str| Constraints::parse(text).map(|new| mesh.set_constraints(new));
        tokio::spawn(files::follow(
            "type constraints",
            path.into(),
            drain.clone(),
            take,
        ));
    }
    if let Some(path) = rules {
        let plane = router.plane().clone();
        let take = move |text: &str| Rules::from_json(text).map(|new| plane.set_rules(new));
        let what = "data plane configuration";
        tokio::spawn(files::follow(what, path.into(), drain.clone(), take));
    }
}

/// What of the time for a shutdown is left for calls to end once models are handed over.
fn tail(grace: Duration) -> Duration {
    (grace / 4).min(LONGEST_TAIL)
}

/// Hands models over when the router is told to end, and lets calls end after that.
async fn leave(mesh: Arc<Mesh>, leaving: Drain, drain: Drain) {
    leaving.started().await;
    let deadline = leaving.deadline().unwrap_or_else(Instant::now);
    mesh.leave(deadline - drain.grace().min(leaving.grace())).await;
    drain.start();
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
