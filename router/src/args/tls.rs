//! Flags of TLS, with ModelMesh's names where it has them. One pair of certificate and key serves clients and other routers.

use std::path::PathBuf;

use kit::exit::UsageError;

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum ClientAuth {
    /// They are not asked.
    None,
    /// They may; one that is not trusted is refused.
    Optional,
    /// They must.
    Require,
}

/// Certificates and whom to trust.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// Certificate chain in PEM: gRPC, REST and the port between routers speak TLS then
    #[arg(long, env = "MM_TLS_KEY_CERT_PATH", value_parser = path, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// Its private key in PEM
    #[arg(long, env = "MM_TLS_PRIVATE_KEY_PATH", value_parser = path, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Whether clients of gRPC and REST must show a certificate
    #[arg(
        long,
        env = "MM_TLS_CLIENT_AUTH",
        default_value = "NONE",
        ignore_case = true,
        value_name = "WHEN"
    )]
    pub tls_client_auth: ClientAuth,

    /// Authorities of clients' certificates in PEM, separated by commas
    #[arg(
        long,
        env = "MM_TLS_TRUST_CERT_PATH",
        value_delimiter = ',',
        value_parser = path,
        value_name = "FILES"
    )]
    pub tls_trust: Vec<PathBuf>,

    /// Authorities of other routers' certificates in PEM, separated by commas [default: --tls-trust, and the own chain]
    #[arg(
        long,
        env = "MM_INTERNAL_TRUST_CERTS",
        value_delimiter = ',',
        value_parser = path,
        value_name = "FILES"
    )]
    pub peer_trust: Vec<PathBuf>,

    /// What other routers' certificates must be valid for [default: any name, the authority counts]
    #[arg(long, env = "STOWAGE_PEER_TLS_NAME", value_name = "NAME")]
    pub peer_tls_name: Option<String>,

    /// Whether routers show each other certificates when they speak TLS
    #[arg(
        long,
        env = "MM_INTRACLUSTER_CLIENTAUTH",
        default_value_t = true,
        action = clap::ArgAction::Set,
        value_name = "BOOL"
    )]
    pub peer_client_auth: bool,

    /// Whether routers speak TLS with each other when there is a certificate
    #[arg(
        long,
        env = "MM_ENABLE_SSL",
        default_value_t = true,
        action = clap::ArgAction::Set,
        value_name = "BOOL"
    )]
    pub peer_tls: bool,

    /// Old name of the certificate
    #[arg(long, env = "MM_SVC_GRPC_CA_CERT_PATH", value_parser = path, hide = true)]
    pub old_tls_cert: Option<PathBuf>,

    /// Old name of the private key
    #[arg(long, env = "MM_SVC_GRPC_PRIVATE_KEY_PATH", value_parser = path, hide = true)]
    pub old_tls_key: Option<PathBuf>,
}

/// What is set, checked as far as that is possible without reading files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// Certificate chain.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
    /// Whether clients must show a certificate.
    pub client_auth: ClientAuth,
    /// Authorities of clients.
    pub trust: Vec<PathBuf>,
    /// How routers speak TLS with each other; `None` = they do not.
    pub peers: Option<PeerTls>,
}

/// TLS between routers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerTls {
    /// Authorities, or certificates themselves.
    pub trust: Vec<PathBuf>,
    /// What they must be called.
    pub name: Option<String>,
    /// Both sides show a certificate.
    pub client_auth: bool,
}

impl TlsArgs {
    /// What is set; `None` without a certificate.
    pub fn config(&self) -> Result<Option<TlsConfig>, UsageError> {
        let set = |path: &&PathBuf| !path.as_os_str().is_empty();
        let cert = self
            .tls_cert
            .as_ref()
            .filter(set)
            .or(self.old_tls_cert.as_ref().filter(set));
        let key = self
            .tls_key
            .as_ref()
            .filter(set)
            .or(self.old_tls_key.as_ref().filter(set));
        let (cert, key) = match (cert, key) {
            (Some(cert), Some(key)) => (cert.clone(), key.clone()),
            (None, None) if self.tls_client_auth == ClientAuth::None => return Ok(None),
            (None, None) => {
                return Err(UsageError::msg(
                    "--tls-client-auth (MM_TLS_CLIENT_AUTH) needs TLS: set --tls-cert (MM_TLS_KEY_CERT_PATH) and \
                     --tls-key (MM_TLS_PRIVATE_KEY_PATH)",
                ));
            }
            _ => {
                return Err(UsageError::msg(
                    "--tls-cert (MM_TLS_KEY_CERT_PATH) and --tls-key (MM_TLS_PRIVATE_KEY_PATH) go together: one is \
                     missing",
                ));
            }
        };
        if cfg!(not(feature = "tls")) {
            return Err(UsageError::msg(
                "this program is built without TLS: --tls-cert must not be set",
            ));
        }
        let trust = named(&self.tls_trust);
        if self.tls_client_auth != ClientAuth::None && trust.is_empty() {
            return Err(UsageError::msg(
                "--tls-client-auth (MM_TLS_CLIENT_AUTH) needs authorities to measure clients by: set --tls-trust \
                 (MM_TLS_TRUST_CERT_PATH)",
            ));
        }
        let peers = self.peer_tls.then(|| {
            let mut peer_trust = named(&self.peer_trust);
            if peer_trust.is_empty() {
                peer_trust.clone_from(&trust);
                peer_trust.push(cert.clone());
            }
            PeerTls {
                trust: peer_trust,
                name: self.peer_tls_name.clone().filter(|name| !name.is_empty()),
                client_auth: self.peer_client_auth,
            }
        });
        Ok(Some(TlsConfig {
            cert,
            key,
            client_auth: self.tls_client_auth,
            trust,
            peers,
        }))
    }
}

/// An empty variable is one that is not set: deployments leave such.
#[expect(clippy::unnecessary_wraps, reason = "as clap wants it")]
fn path(text: &str) -> Result<PathBuf, std::convert::Infallible> {
    Ok(text.into())
}

/// Without empty names, which an empty variable leaves.
fn named(paths: &[PathBuf]) -> Vec<PathBuf> {
    let set = |path: &&PathBuf| !path.as_os_str().is_empty();
    paths.iter().filter(set).cloned().collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser, Debug)]
    struct Program {
        #[command(flatten)]
        tls: TlsArgs,
    }

    fn config(args: &[&str]) -> Result<Option<TlsConfig>, String> {
        Program::try_parse_from([&["program"], args].concat())
            .map_err(|error| error.to_string())?
            .tls
            .config()
            .map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_certificate_there_is_no_tls() {
        assert_eq!(config(&[]), Ok(None));
        assert_eq!(config(&["--old-tls-cert", "", "--old-tls-key", ""]), Ok(None));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn one_pair_is_for_clients_and_routers() {
        let pairs = [
            ["--tls-cert", "c", "--tls-key", "k"],
            ["--old-tls-cert", "c", "--old-tls-key", "k"],
        ];
        for pair in pairs {
            let tls = config(&pair).expect("valid").expect("on");
            assert_eq!((tls.cert, tls.client_auth), ("c".into(), ClientAuth::None));
            let peers = tls
                .peers
                .expect("routers speak TLS too, whichever names are used");
            assert_eq!((peers.trust, peers.client_auth), (vec!["c".into()], true));
            let off = config(&[&pair[..], &["--peer-tls", "false"]].concat());
            assert_eq!(off.expect("valid").expect("on").peers, None);
        }
        let both = [
            "--tls-cert",
            "c",
            "--tls-key",
            "k",
            "--tls-client-auth",
            "require",
        ];
        let tls = config(&[&both[..], &["--tls-trust", "a,b"]].concat()).expect("valid");
        let tls = tls.expect("on");
        assert_eq!(tls.client_auth, ClientAuth::Require);
        assert_eq!(tls.trust, [PathBuf::from("a"), "b".into()]);
        assert_eq!(
            tls.peers.expect("on").trust,
            [PathBuf::from("a"), "b".into(), "c".into()]
        );
        let peers = config(&[&both[..], &["--tls-trust", "a", "--peer-trust", "p"]].concat());
        let peers = peers.expect("valid").expect("on").peers.expect("on");
        assert_eq!(peers.trust, [PathBuf::from("p")]);
    }

    #[test]
    fn mistakes_name_the_flag() {
        let error = |args: &[&str]| config(args).expect_err("refused");
        assert!(error(&["--tls-cert", "c"]).contains("--tls-key"));
        assert!(error(&["--old-tls-key", "k"]).contains("MM_TLS_KEY_CERT_PATH"));
        assert!(error(&["--tls-client-auth", "REQUIRE"]).contains("needs TLS"));
        assert!(error(&["--tls-client-auth", "maybe"]).contains("NONE"));
        #[cfg(feature = "tls")]
        {
            let pair = [
                "--tls-cert",
                "c",
                "--tls-key",
                "k",
                "--tls-client-auth",
                "optional",
            ];
            assert!(error(&pair).contains("--tls-trust"));
        }
    }
}
