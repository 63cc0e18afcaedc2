//! Real handshakes over loopback, with files that change.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::drain::Drain;

type Authority = CertifiedIssuer<'static, KeyPair>;

/// A folder with the files of one test.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn authority(&self, name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        self.write(&format!("{name}.ca"), &authority.pem());
        authority
    }

    /// Certificate `{name}.crt` and key `{name}.key`, good for servers and clients.
    fn issue(&self, name: &str, authority: &Authority) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![format!("{name}.test")]).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, authority).unwrap();
        Identity {
            chain: self.write(&format!("{name}.crt"), &certificate.pem()),
            key: self.write(&format!("{name}.key"), &key.serialize_pem()),
        }
    }
}

fn server(identity: &Identity, callers: Callers) -> Result<Server, TlsError> {
    Server::read(ServerFiles {
        identity: identity.clone(),
        callers,
        protocols: vec!["h2"],
    })
}

fn client(identity: Option<&Identity>, trust: &[PathBuf], name: Option<&str>) -> Result<Client, TlsError> {
    Client::read(ClientFiles {
        identity: identity.cloned(),
        trust: trust.to_vec(),
        name: name.map(str::to_owned),
        protocols: vec!["h2"],
    })
}

/// Says "hello" to whoever gets through, for ever.
async fn greet(server: Server) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let server = server.clone();
            tokio::spawn(async move {
                let mut stream = server.accept(socket).await?;
                stream.write_all(b"hello").await?;
                stream.shutdown().await
            });
        }
    });
    addr
}

/// What the server's certificate is, if it lets this client in.
async fn visit(client: &Client, addr: SocketAddr) -> std::io::Result<Vec<u8>> {
    let socket = TcpStream::connect(addr).await?;
    let mut stream = client.connect(socket).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let certificate = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    let mut words = String::new();
    stream.read_to_string(&mut words).await?;
    assert_eq!(words, "hello");
    Ok(certificate)
}

#[tokio::test]
async fn the_authority_counts_and_the_name_where_it_is_asked_for() {
    let files = Files::new();
    let (ours, theirs) = (files.authority("ours"), files.authority("theirs"));
    let (a, stranger) = (files.issue("a", &ours), files.issue("stranger", &theirs));
    let trust = [files.path("ours.ca")];
    let addr = greet(server(&a, Callers::Unknown).unwrap()).await;
    let impostor = greet(server(&stranger, Callers::Unknown).unwrap()).await;

    let any_name = client(None, &trust, None).unwrap();
    visit(&any_name, addr).await.unwrap();
    visit(&any_name, impostor).await.unwrap_err();
    visit(&client(None, &trust, Some("a.test")).unwrap(), addr)
        .await
        .unwrap();
    let error = visit(&client(None, &trust, Some("b.test")).unwrap(), addr)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_signed_itself_is_trusted_as_it_is() {
    let files = Files::new();
    // As `openssl req -x509` makes them: an authority, which the library takes for no server.
    for (name, is_ca) in [
        ("authority", IsCa::Ca(BasicConstraints::Unconstrained)),
        ("leaf", IsCa::NoCa),
    ] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![format!("{name}.test")]).unwrap();
        params.is_ca = is_ca;
        let certificate = params.self_signed(&key).unwrap();
        let own = Identity {
            chain: files.write("own.crt", &certificate.pem()),
            key: files.write("own.key", &key.serialize_pem()),
        };
        let trust = [own.chain.clone()];
        let addr = greet(server(&own, Callers::Peers(trust.to_vec())).unwrap()).await;
        visit(&client(Some(&own), &trust, None).unwrap(), addr)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[tokio::test]
async fn callers_show_who_they_are() {
    let files = Files::new();
    let (ours, theirs) = (files.authority("ours"), files.authority("theirs"));
    let (a, b) = (files.issue("a", &ours), files.issue("b", &ours));
    let stranger = files.issue("stranger", &theirs);
    let trust = vec![files.path("ours.ca")];
    let [none, known, unknown] =
        [None, Some(&b), Some(&stranger)].map(|identity| client(identity, &trust, None).unwrap());
    for (callers, may) in [
        (Callers::Unknown, [true, true, true]),
        (Callers::Checked(trust.clone()), [true, true, false]),
        (Callers::Required(trust.clone()), [false, true, false]),
        (Callers::Peers(trust.clone()), [false, true, false]),
    ] {
        let addr = greet(server(&a, callers.clone()).unwrap()).await;
        for (client, may) in [&none, &known, &unknown].into_iter().zip(may) {
            let visited = visit(client, addr).await;
            assert_eq!(visited.is_ok(), may, "{callers:?} {client:?}: {visited:?}");
        }
    }
}

#[tokio::test]
async fn new_files_are_taken_and_bad_ones_are_not() {
    let files = Files::new();
    let ours = files.authority("ours");
    let a = files.issue("a", &ours);
    let trust = [files.path("ours.ca")];
    let server = server(&a, Callers::Unknown).unwrap();
    let client = client(None, &trust, None).unwrap();
    let addr = greet(server.clone()).await;
    let drain = Drain::new(Duration::ZERO);
    let interval = Duration::from_millis(5);
    let following = tokio::spawn(follow(
        vec![server.clone()],
        vec![client.clone()],
        interval,
        drain.clone(),
    ));
    let first = visit(&client, addr).await.unwrap();

    // A new certificate with the key of before is no pair.
    let key = fs::read(&a.key).unwrap();
    files.issue("a", &ours);
    let new_key = fs::read(&a.key).unwrap();
    fs::write(&a.key, &key).unwrap();
    assert!(matches!(server.reload(), Err(TlsError::Mismatch { .. })));
    assert_eq!(visit(&client, addr).await.unwrap(), first);

    fs::write(&a.key, new_key).unwrap();
    let second = loop {
        let now = visit(&client, addr).await.unwrap();
        if now != first {
            break now;
        }
        tokio::time::sleep(interval).await;
    };
    fs::remove_file(&a.chain).unwrap();
    assert!(matches!(server.reload(), Err(TlsError::Read { .. })));
    assert_eq!(visit(&client, addr).await.unwrap(), second);

    // Another authority, known to the client before the server has its certificate.
    let next = files.authority("next");
    let both = ours.pem() + &next.pem();
    files.write("ours.ca", &both);
    files.issue("a", &next);
    loop {
        // Never refused for longer than it takes the client to look.
        if visit(&client, addr).await.is_ok_and(|now| now != second) {
            break;
        }
        tokio::time::sleep(interval).await;
    }
    drain.start();
    following.await.unwrap();
}

#[test]
fn errors_name_the_file_and_never_the_key() {
    let files = Files::new();
    let ours = files.authority("ours");
    let good = files.issue("a", &ours);
    let other = files.issue("b", &ours);
    let error = |chain: &PathBuf, key: &PathBuf| {
        let identity = Identity {
            chain: chain.clone(),
            key: key.clone(),
        };
        let error = anyhow::Error::from(server(&identity, Callers::Unknown).unwrap_err());
        format!("{error:#}")
    };
    let missing = files.path("missing");
    assert!(error(&missing, &good.key).contains("missing"));
    let empty = files.write("empty", "");
    assert!(error(&empty, &good.key).contains("no certificate in PEM"));
    assert!(error(&good.chain, &empty).contains("no private key in PEM"));
    assert!(error(&good.chain, &other.key).contains("does not belong"));
    let text = fs::read_to_string(&good.key).unwrap();
    let cut = files.write("cut", text.get(..90).unwrap());
    let said = error(&good.chain, &cut);
    assert!(!said.contains(text.get(40..90).unwrap()), "{said}");
    for encrypted in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
    ] {
        let path = files.write("encrypted", encrypted);
        let said = error(&good.chain, &path);
        assert!(
            said.contains("encrypted") && said.contains("openssl pkcs8"),
            "{said}"
        );
    }
    let large = files.write("large", &"x".repeat(2 << 20));
    assert!(error(&large, &good.key).contains("larger than"));
    assert!(matches!(client(None, &[], None), Err(TlsError::NobodyTrusted)));
}

#[tokio::test]
async fn who_speaks_no_tls_is_told() {
    let server = self_signed(&["localhost"], &["h2", "http/1.1"]).unwrap();
    let addr = greet(server).await;
    let say = async |words: &[u8]| {
        let mut socket = TcpStream::connect(addr).await.unwrap();
        socket.write_all(words).await.unwrap();
        let mut answer = Vec::new();
        // A reset instead of an end is as good, where there is nothing to say.
        let _ = socket.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = say(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("HTTPS"),
        "{answer}"
    );
    let answer = say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(answer.contains("this port speaks TLS only"), "{answer}");
    assert!(!say(b"\0\0\0\0").await.contains("hello"));
}
