//! Which etcd, and how: a connection string or a JSON file, both as ModelMesh has them.

mod file;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// Port of an endpoint that names none.
const DEFAULT_PORT: u16 = 2379;
/// More endpoints than any cluster has members.
const MAX_ENDPOINTS: usize = 64;

/// Where the settings come from. They are read for every new connection, so that passwords and certificates can change
/// while the process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    source: Source,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    /// `host:port,...;rootPrefix=...`
    Text(Settings),
    File(PathBuf),
}

/// What is known of the cluster.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Members; never empty.
    pub endpoints: Vec<Endpoint>,
    /// What all keys begin with, before the first slash.
    pub root_prefix: String,
    /// User and password, where etcd asks for them.
    pub user: Option<(String, String)>,
    /// TLS; none = plain text.
    pub tls: Option<Tls>,
    /// Name that is sent, and that the server's certificate is for, instead of the endpoint's host.
    pub override_authority: Option<String>,
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// What TLS connections are made with.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Authorities that sign the servers' certificates, PEM; none = those that the system trusts.
    pub authorities: Option<Vec<u8>>,
    /// Certificate chain and key (PKCS #8) of the client, PEM.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

/// Why settings cannot be used. The texts have no values but endpoints.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The value of `KV_STORE`.
    #[error("KV_STORE: {0}")]
    Text(String),
    /// The JSON file.
    #[error("etcd settings in {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Config {
    /// Reads the value of `KV_STORE`: `etcd:` and a path to a JSON file, or `host:port[,host:port...][;rootPrefix=...]`
    /// with `http://` or `https://` before hosts if wanted. Checks the file too, if it is one.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let error = |reason: &str| Err(ConfigError::Text(reason.to_owned()));
        let rest = match text.trim().split_once(':') {
            Some(("etcd", rest)) => rest.trim(),
            Some(("zookeeper", _)) => {
                return error(
                    "ZooKeeper is not supported; use etcd: `etcd:<host>:<port>` or `etcd:<path of a JSON file>`",
                );
            }
            _ => {
                return error(
                    "must begin with `etcd:`, as in `etcd:<host>:<port>` or `etcd:<path of a JSON file>`",
                );
            }
        };
        if rest.is_empty() {
            return error("nothing follows `etcd:`; want `<host>:<port>` or the path of a JSON file");
        }
        let path = Path::new(rest);
        if path.is_file() {
            return Self::from_file(path);
        }
        if rest.starts_with('/') || rest.starts_with('.') {
            return error("the file after `etcd:` does not exist, or is no file");
        }
        let settings = from_text(rest).map_err(ConfigError::Text)?;
        let source = Source::Text(settings);
        Ok(Self { source })
    }

    /// The settings of a JSON file, which are read once now to check them.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let source = Source::File(path.to_owned());
        let config = Self { source };
        config.load().map(|_| config)
    }

    /// The settings as they are now. Blocks on files.
    pub fn load(&self) -> Result<Settings, ConfigError> {
        match &self.source {
            Source::Text(settings) => Ok(settings.clone()),
            Source::File(path) => {
                let error = |reason| {
                    let path = path.clone();
                    ConfigError::File { path, reason }
                };
                let text = fs::read(path).map_err(|err| error(format!("cannot be read: {err}")))?;
                let folder = path.parent().unwrap_or(Path::new("."));
                file::parse(&text, folder).map_err(error)
            }
        }
    }
}

fn from_text(text: &str) -> Result<Settings, String> {
    let mut parts = text.split(';');
    let (endpoints, encrypted) = endpoints(parts.next().unwrap_or_default())?;
    let mut settings = Settings {
        endpoints,
        tls: encrypted.then(Tls::default),
        ..Settings::default()
    };
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("rootPrefix", prefix)) => prefix.clone_into(&mut settings.root_prefix),
            // Without its value, which may be a misplaced password.
            Some((name, _)) => return Err(format!("unknown parameter `{name}`; known: rootPrefix")),
            None => return Err("a parameter without `=`; known: rootPrefix=<prefix>".to_owned()),
        }
    }
    Ok(settings)
}

/// Reads `[http[s]://]host[:port],...`; says whether the first one wants TLS.
fn endpoints(text: &str) -> Result<(Vec<Endpoint>, bool), String> {
    let (mut found, mut schemes) = (Vec::new(), Vec::new());
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (encrypted, address) = match part.split_once("://") {
            None => (None, part),
            Some(("http", rest)) => (Some(false), rest),
            Some(("https", rest)) => (Some(true), rest),
            Some((scheme, _)) => {
                return Err(format!("endpoint {part:?}: `{scheme}` is neither http nor https"));
            }
        };
        let endpoint = endpoint(address.trim_end_matches('/')).ok_or_else(|| {
            format!("endpoint {part:?}: want `<host>:<port>`, with http:// or https:// before it if wanted")
        })?;
        if !found.contains(&endpoint) {
            found.push(endpoint);
        }
        schemes.extend(encrypted);
    }
    if found.is_empty() {
        return Err("no endpoint; want `<host>:<port>[,<host>:<port>...]`".to_owned());
    }
    if found.len() > MAX_ENDPOINTS {
        return Err(format!("{} endpoints, at most {MAX_ENDPOINTS}", found.len()));
    }
    if schemes.iter().any(|scheme| Some(scheme) != schemes.first()) {
        return Err("endpoints with http:// and with https://; all must be of one kind".to_owned());
    }
    Ok((found, schemes.first() == Some(&true)))
}

fn endpoint(address: &str) -> Option<Endpoint> {
    let port = |text: &str| text.parse().ok().filter(|port| *port > 0);
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => match rest.split_once(']')? {
            (host, "") => (host, DEFAULT_PORT),
            (host, rest) => (host, port(rest.strip_prefix(':')?)?),
        },
        None => match address.split_once(':') {
            Some((host, rest)) => (host, port(rest)?),
            None => (address, DEFAULT_PORT),
        },
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_address = host.parse::<std::net::Ipv6Addr>().is_ok();
    let good = !host.is_empty() && (is_address || host.chars().all(is_name));
    let host = host.to_owned();
    good.then_some(Endpoint { host, port })
}

impl Endpoint {
    /// Host and port as in a URL.
    pub fn authority(&self) -> String {
        let Self { host, port } = self;
        if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority())
    }
}

impl fmt::Debug for Settings {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("endpoints", &self.endpoints)
            .field("root_prefix", &self.root_prefix)
            .field("user", &self.user.as_ref().map(|(user, _)| user))
            .field("tls", &self.tls)
            .field("override_authority", &self.override_authority)
            .finish()
    }
}

impl fmt::Debug for Tls {
    /// Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("own_authorities", &self.authorities.is_some())
            .field("client_certificate", &self.client.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests;
