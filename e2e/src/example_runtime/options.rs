//! Settings of an example runtime, and the environment that sets them for the binary.

use std::{
    env, fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context as _;

/// Where something is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// On loopback.
    Tcp(SocketAddr),
    /// At a socket.
    Unix(PathBuf),
}

impl Address {
    /// A port of 127.0.0.1; 0 = any.
    pub fn port(port: u16) -> Self {
        Self::Tcp((Ipv4Addr::LOCALHOST, port).into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// How a call to a model that is not loaded is answered: each model server has its own way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NotFound {
    /// `NOT_FOUND`.
    #[default]
    Plain,
    /// `UNAVAILABLE`, as Triton.
    Triton,
    /// `INVALID_ARGUMENT`, as `MLServer`.
    MlServer,
}

/// See the module's text.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Options {
    /// Where the SPI is served.
    pub address: Address,
    /// Where inference is served; `None` = beside the SPI.
    pub serving: Option<Address>,
    /// READY so long after the start.
    pub ready_after: Duration,
    /// Memory for models, in bytes.
    pub capacity: u64,
    /// Size of a model of which nothing is known, in bytes.
    pub default_size: u64,
    /// Longest load.
    pub load_timeout: Duration,
    /// Loads at once.
    pub concurrency: u32,
    /// How long a size measurement takes; 0 bytes come with the load until then.
    pub sizing: Duration,
    /// Calls of one model at once are limited, by its path.
    pub limit_concurrency: bool,
    /// Methods, and where their messages take the model's id.
    pub methods: Vec<(String, Vec<u32>)>,
    /// Other methods are allowed too.
    pub allow_any: bool,
    /// Answer to calls of unknown models.
    pub not_found: NotFound,
    /// An unload of an unknown model fails with `NOT_FOUND`.
    pub unload_not_found: bool,
    /// Models without a word about it load and unload at once.
    pub fast: bool,
    /// Serves the SPI under the name that it had before only.
    pub legacy: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: Address::port(0),
            serving: None,
            ready_after: Duration::ZERO,
            capacity: 1 << 30,
            default_size: 50 << 20,
            load_timeout: Duration::from_secs(90),
            concurrency: 6,
            sizing: Duration::from_millis(5),
            limit_concurrency: false,
            methods: Vec::new(),
            allow_any: false,
            not_found: NotFound::Plain,
            unload_not_found: false,
            fast: false,
            legacy: false,
        }
    }
}

impl Options {
    /// From the binary's argument, `port[,servingPort]` or `unix://path`, and its environment.
    pub fn from_env(argument: &str) -> anyhow::Result<Self> {
        let mut options = Self {
            ready_after: Duration::from_millis(1500),
            sizing: Duration::from_millis(50),
            ..Self::default()
        };
        if let Some(path) = argument.strip_prefix("unix://") {
            options.address = Address::Unix(path.into());
        } else {
            let mut ports = argument.split(',').map(str::parse);
            let port = ports
                .next()
                .context("no address")?
                .context("the address must be PORT[,SERVINGPORT] or unix://PATH")?;
            options.address = Address::port(port);
            let serving = ports.next().transpose().context("the second port is no port")?;
            options.serving = serving.map(Address::port);
        }
        let is_set = |name| env::var(name).is_ok_and(|value| value != "false");
        if let Ok(methods) = env::var("RS_METHOD_INFOS") {
            options.methods = method_infos(&methods)?;
        }
        options.allow_any = is_set("RS_ALLOW_ANY");
        if is_set("TRITON_NOT_FOUND_BEHAVIOUR") {
            options.not_found = NotFound::Triton;
        }
        if is_set("MLSERVER_NOT_FOUND_BEHAVIOUR") {
            options.not_found = NotFound::MlServer;
        }
        options.unload_not_found = is_set("UNLOAD_RETURN_NOT_FOUND");
        if is_set("FAST_MODE") {
            options.fast = true;
            options.ready_after = Duration::ZERO;
            options.sizing = Duration::ZERO;
        }
        Ok(options)
    }

    /// Like this but the model's id goes into the messages of `method` at this path.
    #[must_use]
    pub fn inject(mut self, method: &str, path: &[u32]) -> Self {
        self.methods.push((method.to_owned(), path.to_vec()));
        self
    }
}

/// `method=1,2;other=`.
fn method_infos(text: &str) -> anyhow::Result<Vec<(String, Vec<u32>)>> {
    let info = |part: &str| {
        let (method, path) = part
            .split_once('=')
            .with_context(|| format!("{part:?} must be METHOD=N,N"))?;
        let numbers = path.split(',').filter(|number| !number.is_empty());
        let path: Result<Vec<u32>, _> = numbers.map(str::parse).collect();
        Ok((method.to_owned(), path.with_context(|| format!("{part:?}"))?))
    };
    text.split(';')
        .filter(|part| !part.is_empty())
        .map(info)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_addresses() {
        let read = method_infos("a/b=1,2;a/c=").expect("valid");
        assert_eq!(
            read,
            [("a/b".to_owned(), vec![1, 2]), ("a/c".to_owned(), Vec::new())]
        );
        assert!(method_infos("a/b").is_err());
        let options = Options::from_env("8085,8086").expect("valid");
        assert_eq!(options.serving, Some(Address::port(8086)));
        let options = Options::from_env("unix:///tmp/x.sock").expect("valid");
        assert_eq!(options.address, Address::Unix("/tmp/x.sock".into()));
        assert!(Options::from_env("x").is_err());
    }
}
