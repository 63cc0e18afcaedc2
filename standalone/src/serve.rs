//! `stowage serve`: router, ONNX runtime and models folder in one process.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use adapter::onnx::{EngineChoice, OnnxOptions, OnnxRuntime};
use anyhow::Context as _;
use api::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use kit::{
    admin::{self, Readiness},
    drain::Drain,
    exit::UsageError,
};
use prometheus_client::registry::Registry;
use router::{
    cache::CacheOptions,
    console,
    listen::ListenOptions,
    mesh::MeshOptions,
    metrics::{Metrics, MetricsOptions},
    plane::PlaneOptions,
    rest::RestOptions,
    rules::Rules,
    server::{Listeners, Router, Setup},
    store::memory::Memory,
    upstream::{Upstream, local_service},
};
use serde::Serialize;
use tokio::net::TcpListener;
use tonic::codec::CompressionEncoding;

use crate::{
    banner::Banner,
    config::Config,
    loads::{self, Loads},
    names::StableNames,
    registry::MeshRegistry,
    runtime::InProcess,
    watch::Watch,
};

/// How long calls in flight may take after the signal to stop.
const GRACE: Duration = Duration::from_secs(30);

/// Time a model may take to load. Reading and preparing gigabytes from a slow disk ends well before.
const LOAD_TIMEOUT: Duration = Duration::from_mins(3);

/// Largest message in bytes, both ways, as `ModelMesh` has it.
const MAX_MESSAGE: usize = 16 << 20;

/// Memory in bytes for requests that may have to be sent again.
const REPLAY_BUDGET: usize = 64 << 20;

/// Models of one call with several ids that run at once.
const PARALLELISM: usize = 4;

/// Longest life of a call whose client sets no deadline.
const LONGEST_CALL: Duration = Duration::from_hours(1);

/// Where everything listens; ports are real ones also where a free one was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// gRPC.
    pub grpc: SocketAddr,
    /// REST.
    pub rest: SocketAddr,
    /// Metrics, probes, page.
    pub admin: SocketAddr,
}

/// Serves until a signal.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let Config {
        models,
        capacity,
        grpc,
        rest,
        admin,
        addresses,
        engine,
        ort_library,
        threads: _,
    } = config;
    let onnx = onnx_runtime(&models, capacity.0, engine, ort_library)?;
    let drain = Drain::new(GRACE);
    kit::drain::start_on_signal(&drain).context("install signal handlers")?;
    let (listeners, admin_listener, bound) = bind(grpc, rest, admin).await?;

    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry, MetricsOptions::default());
    let readiness = Readiness::new("models are looked up");
    let router = tokio::select! {
        router = start_router(&models, onnx.clone(), metrics, readiness.clone()) => router?,
        () = drain.started() => return Ok(()),
    };
    let mesh = Arc::clone(router.mesh());
    let watch = Watch::start(models.clone(), MeshRegistry::new(Arc::clone(&mesh)))
        .await
        .with_context(|| format!("read the models folder {}", models.display()))?;
    let banner = Banner::new(
        &models,
        watch.models(),
        watch.warnings().len(),
        capacity,
        onnx.engines(),
        bound,
    );
    let watch = tokio::spawn(watch.run(drain.clone()));

    let app = admin::probes(readiness, drain.clone())
        .merge(admin::metrics(Arc::new(registry)))
        .merge(console::app(mesh));
    let admin = tokio::spawn(admin::serve(admin_listener, app, drain.clone()));
    if let Some(path) = addresses {
        write_addresses(&path, bound).with_context(|| format!("write --addresses {}", path.display()))?;
    }
    // Whoever closed our standard output does not want to read; that is no reason not to serve.
    let _ = io::stdout().write_all(banner.to_string().as_bytes());

    let served = listeners.serve(
        router,
        ListenOptions::default(),
        RestOptions::default(),
        drain.clone(),
    );
    let mut served = pin!(served);
    tokio::select! {
        () = &mut served => {}
        ended = watch => {
            // At a shutdown it ends first; any other end is a defect that a restart heals.
            anyhow::ensure!(drain.is_started(), "following the models folder ended: {ended:?}");
            served.await;
        }
    }
    admin.await.context("serve the admin address")
}

/// Opens every listener before anything else is done: a port that is taken ends the start at once.
async fn bind(
    grpc: SocketAddr,
    rest: SocketAddr,
    admin: SocketAddr,
) -> anyhow::Result<(Listeners, TcpListener, Addresses)> {
    let hint =
        |err: anyhow::Error| anyhow::anyhow!("{err:#}; --grpc, --rest and --admin choose other addresses");
    let listeners = Listeners::bind(grpc, Some(rest))
        .await
        .map_err(|err| hint(err.into()))?;
    let listener = TcpListener::bind(admin)
        .await
        .with_context(|| format!("failed to listen for the admin address on {admin}"))
        .map_err(hint)?;
    let bound = Addresses {
        grpc: listeners.grpc_addr().context("look up the gRPC address")?,
        rest: listeners.rest_addr().context("look up the REST address")?,
        admin: listener.local_addr().context("look up the admin address")?,
    };
    Ok((listeners, listener, bound))
}

/// The runtime with its engines. An engine that was asked for and cannot be had is a mistake of the configuration.
fn onnx_runtime(
    models: &Path,
    capacity_bytes: u64,
    engine: EngineChoice,
    ort_library: Option<PathBuf>,
) -> anyhow::Result<OnnxRuntime> {
    let options = OnnxOptions {
        loading_concurrency: u32::try_from(loads::at_once()).unwrap_or(1),
        load_timeout: LOAD_TIMEOUT,
        models_root: Some(models.to_owned()),
        max_message_bytes: MAX_MESSAGE,
        engine,
        ort_library,
        ..OnnxOptions::new(capacity_bytes)
    };
    Ok(OnnxRuntime::new(options).map_err(|err| UsageError(err.into()))?)
}

async fn start_router(
    models: &Path,
    onnx: OnnxRuntime,
    metrics: Metrics,
    readiness: Readiness,
) -> anyhow::Result<Router> {
    let loads = Loads::new().context("start the threads of loads")?;
    let setup = Setup {
        upstream: Upstream::Local(local_service(inference_service(onnx.clone()))),
        runtime: Arc::new(InProcess::new(onnx, loads, models)),
        cache: CacheOptions::default(),
        store: Arc::new(Memory::new()),
        mesh: MeshOptions::default(),
        plane: PlaneOptions {
            message_limit: MAX_MESSAGE,
            replay_budget: REPLAY_BUDGET,
            parallelism: PARALLELISM,
            // People read these; nobody here was written against ModelMesh's texts.
            plain_statuses: true,
            longest_call: LONGEST_CALL,
        },
        rules: Rules::default(),
        peers: None,
    };
    Router::start(setup, metrics, readiness)
        .await
        .context("start the router")
}

fn inference_service(onnx: OnnxRuntime) -> GrpcInferenceServiceServer<StableNames> {
    GrpcInferenceServiceServer::new(StableNames::new(onnx))
        // The router passes compressed messages on as they are.
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE)
}

/// Whoever waits for the file finds all of it or nothing.
fn write_addresses(path: &Path, addresses: Addresses) -> anyhow::Result<()> {
    let mut name = path.file_name().context("no file name")?.to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let unfinished = path.with_file_name(name);
    std::fs::write(&unfinished, serde_json::to_vec(&addresses)?)?;
    std::fs::rename(&unfinished, path).inspect_err(|_| {
        // The rename's error is the one that matters.
        let _ = std::fs::remove_file(&unfinished);
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_appear_in_one_step() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("addresses.json");
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        write_addresses(
            &path,
            Addresses {
                grpc: at(1),
                rest: at(2),
                admin: at(3),
            },
        )
        .unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            r#"{"grpc":"127.0.0.1:1","rest":"127.0.0.1:2","admin":"127.0.0.1:3"}"#
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(
            write_addresses(
                Path::new("/"),
                Addresses {
                    grpc: at(1),
                    rest: at(2),
                    admin: at(3)
                }
            )
            .is_err()
        );
    }
}
