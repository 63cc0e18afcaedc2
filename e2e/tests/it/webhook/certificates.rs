//! Certificates that are replaced while requests come in.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use e2e::process;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_rustls::TlsConnector;

use super::site::{FAIL, Site, dry_run, good};
use crate::support::SOON;

/// A new connection, and the certificate that it was shown.
pub(super) async fn shown(addr: &str, authority: &str) -> anyhow::Result<Vec<u8>> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(root?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(addr).await?;
    let name = ServerName::try_from("127.0.0.1")?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let (_, session) = stream.get_ref();
    let chain = session.peer_certificates().unwrap_or_default();
    Ok(chain.first().map(|leaf| leaf.to_vec()).unwrap_or_default())
}

/// Requests that are sent again and again until they are stopped; each has to succeed.
pub(super) struct Load {
    tasks: JoinSet<()>,
    passed: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Load {
    pub(super) fn new() -> Self {
        Self {
            tasks: JoinSet::new(),
            passed: Arc::default(),
            stop: Arc::default(),
        }
    }

    /// Adds a stream of requests, one after the other. A failure ends the test.
    pub(super) fn add<F>(&mut self, send: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        let (passed, stop) = (Arc::clone(&self.passed), Arc::clone(&self.stop));
        self.tasks.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                send().await;
                passed.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    /// Waits until so many more have succeeded.
    pub(super) async fn goes_on(&mut self, more: usize) {
        let goal = self.passed.load(Ordering::Relaxed) + more;
        process::eventually("requests to succeed", SOON, async || {
            // A task that ended has failed.
            if let Some(ended) = self.tasks.try_join_next() {
                ended?;
            }
            Ok((self.passed.load(Ordering::Relaxed) >= goal).then_some(()))
        })
        .await
        .unwrap();
    }

    pub(super) async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

#[tokio::test]
async fn a_mounted_certificate_changes_under_load() {
    let site = Site::new(FAIL, &[]).await;
    let authority = site.cluster.authority();
    let mut load = Load::new();
    for _ in 0..2 {
        let services = site.services();
        load.add(move || {
            let services = services.clone();
            async move {
                dry_run(&services, &good()).await.unwrap();
            }
        });
    }
    // The API server keeps its connections; these are new each time.
    let (addr, root) = (site.server.addr.clone(), authority.certificate());
    load.add(move || {
        let (addr, root) = (addr.clone(), root.clone());
        async move {
            shown(&addr, &root).await.unwrap();
        }
    });
    for _ in 0..3 {
        load.goes_on(10).await;
        let pair = authority.server(&["127.0.0.1"]).unwrap();
        site.mount(&pair);
        let expected = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
        process::eventually("the new certificate", SOON, async || {
            let leaf = shown(&site.server.addr, &authority.certificate()).await?;
            Ok((leaf == expected.as_ref()).then_some(()))
        })
        .await
        .unwrap();
        load.goes_on(10).await;
    }

    // A pair that does not belong together is not taken.
    let before = shown(&site.server.addr, &authority.certificate()).await.unwrap();
    let mut mixed = authority.server(&["127.0.0.1"]).unwrap();
    mixed.key = authority.server(&["127.0.0.1"]).unwrap().key;
    site.mount(&mixed);
    site.server.logged("certificate not taken").await.unwrap();
    load.goes_on(10).await;
    assert_eq!(
        shown(&site.server.addr, &authority.certificate()).await.unwrap(),
        before
    );
    load.end().await;
    let metrics = site.server.metrics().await.unwrap();
    assert!(
        metrics.contains(r#"certificate_loads_total{result="taken"}"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"certificate_loads_total{result="refused"}"#),
        "{metrics}"
    );
    site.server.ready().await.unwrap();
    site.end().await;
}
