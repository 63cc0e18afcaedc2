//! TLS between routers and towards clients, with certificates that change.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use e2e::client::Client;
use kit::{
    drain::Drain,
    tls::{Client as TlsClient, ClientFiles, Identity},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use router::{
    args::{ClientAuth, PeerTls, TlsConfig},
    mesh::hop::Mode,
    peer::PeerOptions,
    tls::Parts,
};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{A, ECHO, Node, PATIENCE, Place, Settings, text};

const UNARY: &str = "/stowage.test.Echo/Unary";

/// An authority, and a folder for what it issues.
struct Issuer {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Issuer {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("signed");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("ca.crt"), authority.pem()).expect("written");
        Self { folder, authority }
    }

    fn trust(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// Writes a new pair under this name.
    fn issue(&self, name: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["mesh.test".to_owned()]).expect("a name");
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, &self.authority).expect("signed");
        let path = |ending: &str| self.folder.path().join(format!("{name}.{ending}"));
        fs::write(path("key"), key.serialize_pem()).expect("written");
        fs::write(path("crt"), certificate.pem()).expect("written");
        Identity {
            chain: path("crt"),
            key: path("key"),
        }
    }

    fn config(&self, name: &str) -> TlsConfig {
        let Identity { chain, key } = self.issue(name);
        TlsConfig {
            cert: chain,
            key,
            client_auth: ClientAuth::Require,
            trust: vec![self.trust()],
            peers: Some(PeerTls {
                trust: vec![self.trust()],
                name: None,
                client_auth: true,
            }),
        }
    }
}

/// A router with this TLS; `drain` ends the watch of its files.
async fn node(name: &str, config: &TlsConfig, drain: &Drain) -> Node {
    let parts = Parts::read(Some(config), false).expect("good files");
    parts.follow(Duration::from_millis(5), drain.clone());
    let peers = PeerOptions {
        tls: parts.peers.clone(),
        ..PeerOptions::default()
    };
    let node = Node::start(
        name,
        Settings {
            peers,
            secured: parts.secured,
            ..Settings::default()
        },
    )
    .await;
    node.goes("a", &[Place::Here]);
    node
}

fn tls_client(identity: Option<&Identity>, trust: &Path, name: Option<&str>) -> TlsClient {
    let files = ClientFiles {
        identity: identity.cloned(),
        trust: vec![trust.to_owned()],
        name: name.map(str::to_owned),
        protocols: vec!["h2"],
    };
    TlsClient::read(files).expect("good files")
}

async fn connect(client: &TlsClient, addr: SocketAddr) -> anyhow::Result<Client> {
    let socket = TcpStream::connect(addr).await?;
    Client::over(client.connect(socket).await?, addr, 1 << 20).await
}

#[tokio::test]
async fn routers_speak_tls_and_know_each_other() {
    let issuer = Issuer::new();
    let drain = Drain::new(Duration::ZERO);
    let here = node("node-0", &issuer.config("here"), &drain).await;
    let there = node("node-1", &issuer.config("there"), &drain).await;
    here.knows(1, there.routers);
    here.goes("a", &[Place::There(1, Mode::Hit)]);
    let own = issuer.issue("client");
    let client = tls_client(Some(&own), &issuer.trust(), Some("mesh.test"));
    let client = connect(&client, here.grpc).await.expect("let in");
    let large = vec![9; 4 << 20];
    let answer = client.unary(UNARY, &[A], &large).await.expect("answered");
    assert_eq!(answer.code().expect("status"), 0, "{}", text(&answer));
    assert!(answer.messages[0] == large);
    assert_eq!((here.calls(), there.calls()), (0, 1));

    // Somebody with a certificate of another authority, or none, gets into neither port.
    let strangers = Issuer::new();
    let stranger = strangers.issue("stranger");
    for addr in [here.grpc, there.routers] {
        for identity in [None, Some(&stranger)] {
            let client = tls_client(identity, &issuer.trust(), None);
            let refused = async {
                let client = connect(&client, addr).await?;
                client.unary(UNARY, &[A], b"m").await
            };
            let refused = tokio::time::timeout(PATIENCE, refused).await.expect("no hang");
            assert!(refused.is_err(), "{addr} {identity:?}");
        }
    }
    // A router that does not show one is not let in either, and its client hears that nobody could be asked.
    let mut mute = issuer.config("mute");
    mute.cert = stranger.chain;
    mute.key = stranger.key;
    let mute = node("node-2", &mute, &drain).await;
    mute.knows(1, there.routers);
    mute.goes("a", &[Place::There(1, Mode::Hit)]);
    let call = mute.plane.unary(
        UNARY,
        [(
            http::HeaderName::from_static("mm-model-id"),
            "a".parse().expect("valid"),
        )]
        .into_iter()
        .collect(),
        bytes::Bytes::new().into(),
    );
    let status = call.await.expect_err("refused");
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
    drain.start();
}

#[tokio::test]
async fn clear_text_is_answered_and_refused() {
    let issuer = Issuer::new();
    let drain = Drain::new(Duration::ZERO);
    let mut config = issuer.config("node");
    config.client_auth = ClientAuth::None;
    let node = node("node-0", &config, &drain).await;
    for addr in [node.grpc, node.routers] {
        let call = async {
            let client = Client::connect(addr).await?;
            client.unary(&format!("{ECHO}Unary"), &[A], b"m").await
        };
        let error = tokio::time::timeout(PATIENCE, call)
            .await
            .expect("no hang")
            .expect_err("refused");
        assert!(
            format!("{error:#}").contains("security"),
            "GOAWAY says why: {error:#}"
        );
    }
    // The other way round: a router that does not speak TLS is called by one that does.
    let plain = Node::start("node-1", Settings::default()).await;
    node.knows(1, plain.routers);
    node.goes("a", &[Place::There(1, Mode::Hit)]);
    let client = connect(&tls_client(None, &issuer.trust(), None), node.grpc)
        .await
        .expect("let in");
    let answer = client.unary(UNARY, &[A], b"m").await.expect("answered");
    assert_eq!(answer.code().expect("status"), 14, "{}", text(&answer));
    drain.start();
}

#[tokio::test]
async fn certificates_change_under_load_and_no_call_fails() {
    let issuer = Issuer::new();
    let drain = Drain::new(Duration::ZERO);
    let here = node("node-0", &issuer.config("pair"), &drain).await;
    let there = node("node-1", &issuer.config("pair"), &drain).await;
    here.goes("a", &[Place::There(1, Mode::Hit)]);
    here.knows(1, there.routers);
    let own = issuer.issue("client");
    let client = tls_client(Some(&own), &issuer.trust(), None);
    let (done, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut load = Vec::new();
    for _ in 0..4 {
        let (client, done, calls) = (client.clone(), done.clone(), calls.clone());
        let addr = here.grpc;
        load.push(tokio::spawn(async move {
            // A connection of its own for each call: every one has a handshake with what is newest.
            while !done.load(Ordering::Relaxed) {
                let client = connect(&client, addr).await?;
                let answer = client.unary(UNARY, &[A], b"m").await?;
                anyhow::ensure!(answer.code()? == 0, "{}", text(&answer));
                calls.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        }));
    }
    for turn in 0..10 {
        let before = calls.load(Ordering::Relaxed);
        issuer.issue("pair");
        // New connections between the routers too.
        here.peers
            .set(1, format!("turn-{turn}").as_str().into(), Some(there.routers));
        super::until("calls to go on", || calls.load(Ordering::Relaxed) >= before + 20).await;
    }
    done.store(true, Ordering::Relaxed);
    for worker in load {
        worker.await.expect("no panic").expect("no call fails");
    }
    // The newest certificate is the one that is shown.
    let newest = fs::read_to_string(issuer.folder.path().join("pair.crt")).expect("there");
    let newest = pem(&newest);
    let shown = async {
        let socket = TcpStream::connect(here.grpc).await.expect("connects");
        let stream = client.connect(socket).await.expect("let in");
        stream.get_ref().1.peer_certificates().expect("shown")[0].to_vec()
    };
    let seen = async {
        while shown_is_not(&newest, &client, here.grpc).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("taken");
    assert_eq!(shown.await, newest);
    drain.start();
}

async fn shown_is_not(newest: &[u8], client: &TlsClient, addr: SocketAddr) -> bool {
    let socket = TcpStream::connect(addr).await.expect("connects");
    let stream = client.connect(socket).await.expect("let in");
    stream.get_ref().1.peer_certificates().expect("shown")[0].as_ref() != newest
}

fn pem(text: &str) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    CertificateDer::from_pem_slice(text.as_bytes())
        .expect("a certificate")
        .to_vec()
}
