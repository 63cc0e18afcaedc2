//! What makes a router one of many: the store, and what it is among the others.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
#[cfg(feature = "etcd")]
use kit::exit::UsageError;

#[cfg(feature = "etcd")]
use crate::store::etcd::{self, Etcd};
use crate::{
    args::{ClusterConfig, StoreConfig},
    core::fleet::InstanceId,
    mesh::{ClusterOptions, MeshOptions},
    peer::{PeerOptions, Peers},
    server::Listeners,
    store::{Store, memory::Memory},
    upstream,
};

/// How often this instance looks whether its record is out of date.
const PUBLISH_INTERVAL: Duration = Duration::from_secs(2);

/// Opens the store; a cluster's must answer.
pub(super) async fn open_store(config: &StoreConfig) -> anyhow::Result<Arc<dyn Store>> {
    Ok(match config {
        StoreConfig::Memory => Arc::new(Memory::new()),
        StoreConfig::File(path) => {
            Arc::new(Memory::open(path).with_context(|| format!("open the registry in {}", path.display()))?)
        }
        #[cfg(feature = "etcd")]
        StoreConfig::Etcd {
            connection,
            root,
            read_only,
            session,
        } => {
            let config = etcd::config::Config::parse(connection)
                .map_err(anyhow::Error::from)
                .map_err(UsageError)?;
            let options = etcd::Options {
                read_only: *read_only,
                session: *session,
                ..etcd::Options::new(config, root)
            };
            Arc::new(
                Etcd::connect(options)
                    .await
                    .context("connect to the registry's store")?,
            )
        }
        #[cfg(not(feature = "etcd"))]
        StoreConfig::Etcd { .. } => anyhow::bail!("this program is built without etcd"),
    })
}

/// What the mesh has to know of this router and the others.
pub(super) fn mesh_options(
    options: MeshOptions,
    cluster: Option<&ClusterConfig>,
    listeners: &Listeners,
    tls: Option<upstream::Tls>,
) -> MeshOptions {
    let Some(cluster) = cluster else { return options };
    let ClusterConfig {
        listen: _,
        address,
        instance,
        location,
        zone,
        labels,
        constraints,
        constraints_path: _,
        scaling,
        proactive,
        min_churn_age,
    } = cluster.clone();
    let port = listeners
        .routers_addr()
        .map_or(address.port(), |bound| bound.port());
    let peers = Peers::new(
        InstanceId::from(&*instance),
        PeerOptions {
            tls,
            ..PeerOptions::default()
        },
    );
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let cluster = ClusterOptions {
        peers,
        address: SocketAddr::new(address.ip(), port),
        location,
        zone,
        labels,
        version: 0,
        constraints,
        min_churn_age_ms: min_churn_age.map(ms),
        failure_expiry_ms: ms(options.failure_expiry),
        scaling,
        proactive,
        publish_every: PUBLISH_INTERVAL,
    };
    MeshOptions {
        instance_id: instance,
        cluster: Some(cluster),
        ..options
    }
}
