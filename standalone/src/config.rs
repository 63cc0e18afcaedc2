//! Settings of `stowage serve`: flags, then environment, then the configuration file, then defaults.

use std::{
    fs,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use adapter::onnx::{EngineChoice, OnnxOptions};
use kit::args::ByteSize;
use serde::{Deserialize, Deserializer, de};

use crate::{address, args::ServeArgs, memory};

/// gRPC port when nothing is said.
pub const DEFAULT_GRPC: u16 = api::names::ports::GRPC;

/// REST port when nothing is said.
pub const DEFAULT_REST: u16 = api::names::ports::REST;

/// Least memory for models: what the router insists on, ten models of the runtime's default size.
const MIN_CAPACITY: ByteSize = ByteSize(10 * OnnxOptions::DEFAULT_MODEL_BYTES);

/// Most threads; far more than machines have cores.
pub const MAX_THREADS: u16 = 1024;

/// Longest configuration file in bytes; ten short lines are usual.
const MAX_FILE: u64 = 64 << 10;

/// Where models lie when nothing is said, first that exists.
const MODELS: [&str; 2] = ["models", "examples/models"];

/// Everything `stowage serve` needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Folder of models; exists.
    pub models: PathBuf,
    /// Memory for loaded models.
    pub capacity: ByteSize,
    /// gRPC.
    pub grpc: SocketAddr,
    /// REST.
    pub rest: SocketAddr,
    /// Metrics, probes, page.
    pub admin: SocketAddr,
    /// Where to write the addresses in use.
    pub addresses: Option<PathBuf>,
    /// Which engines run models.
    pub engine: EngineChoice,
    /// ONNX Runtime's library or its folder; `None` = where it usually is.
    pub ort_library: Option<PathBuf>,
    /// Threads that serve; `None` = one for each core.
    pub threads: Option<u16>,
}

/// Why there is no [`Config`].
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there, not readable or too long.
    #[error("--config {}: {reason}", path.display())]
    Read {
        /// As given.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file does not say what it may.
    #[error("--config {}: {reason}", path.display())]
    Parse {
        /// As given.
        path: PathBuf,
        /// Where and what, in one line.
        reason: String,
    },
    /// No folder was named and the usual ones are not there.
    #[error(
        "no models folder: neither models nor examples/models exists here; name one with --models DIR, or make it: \
         mkdir models"
    )]
    NoModels,
    /// The folder that was named is none.
    #[error("--models {}: {reason}", path.display())]
    Models {
        /// As given.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Too little for anything.
    #[error("--capacity {0} is too small; at least {MIN_CAPACITY} is needed")]
    Capacity(ByteSize),
    /// None, or absurdly many.
    #[error("--threads {0} is out of range: 1 to {MAX_THREADS}")]
    Threads(u16),
    /// Two listeners want the same address.
    #[error("--{first} and --{second} are both {addr}; each needs a port of its own")]
    SameAddress {
        /// Flag.
        first: &'static str,
        /// The other flag.
        second: &'static str,
        /// What both say.
        addr: SocketAddr,
    },
}

/// The configuration file.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    /// Relative to the file.
    models: Option<PathBuf>,
    #[serde(default, deserialize_with = "size")]
    capacity: Option<ByteSize>,
    #[serde(default, deserialize_with = "addr")]
    grpc: Option<SocketAddr>,
    #[serde(default, deserialize_with = "addr")]
    rest: Option<SocketAddr>,
    #[serde(default, deserialize_with = "addr")]
    admin: Option<SocketAddr>,
    /// Relative to the file.
    addresses: Option<PathBuf>,
    onnx_engine: Option<EngineChoice>,
    /// Relative to the file.
    onnx_runtime_library: Option<PathBuf>,
    threads: Option<u16>,
}

/// A number of bytes, or a text with a unit.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a size like \"2GiB\", or a number of bytes")]
enum Size {
    Bytes(u64),
    Text(String),
}

fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<ByteSize>, D::Error> {
    match Size::deserialize(from)? {
        Size::Bytes(bytes) => Ok(Some(ByteSize(bytes))),
        Size::Text(text) => text.parse().map(Some).map_err(de::Error::custom),
    }
}

fn addr<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    address::listen(&String::deserialize(from)?)
        .map(Some)
        .map_err(de::Error::custom)
}

impl Config {
    /// Settings for `args` in the working directory `here`.
    pub fn new(args: ServeArgs, here: &Path) -> Result<Self, ConfigError> {
        let ServeArgs {
            models,
            capacity,
            grpc,
            rest,
            admin,
            config,
            addresses,
            onnx_engine,
            onnx_runtime_library,
            threads,
        } = args;
        let file = config.map_or_else(|| Ok(File::default()), |path| File::read(&here.join(path)))?;
        let on_loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let config = Self {
            models: models_folder(models.or(file.models), here)?,
            capacity: capacity.or(file.capacity).unwrap_or_else(default_capacity),
            grpc: grpc.or(file.grpc).unwrap_or_else(|| on_loopback(DEFAULT_GRPC)),
            rest: rest.or(file.rest).unwrap_or_else(|| on_loopback(DEFAULT_REST)),
            admin: admin
                .or(file.admin)
                .unwrap_or_else(|| on_loopback(api::names::ports::METRICS)),
            addresses: addresses.or(file.addresses).map(|path| here.join(path)),
            engine: onnx_engine.or(file.onnx_engine).unwrap_or_default(),
            ort_library: onnx_runtime_library
                // An empty variable is how a deployment says nothing.
                .filter(|path| !path.as_os_str().is_empty())
                .or(file.onnx_runtime_library)
                .map(|path| here.join(path)),
            threads: threads.or(file.threads),
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.capacity < MIN_CAPACITY {
            return Err(ConfigError::Capacity(self.capacity));
        }
        if let Some(threads) = self
            .threads
            .filter(|threads| !(1..=MAX_THREADS).contains(threads))
        {
            return Err(ConfigError::Threads(threads));
        }
        let listeners = [("grpc", self.grpc), ("rest", self.rest), ("admin", self.admin)];
        for (i, (first, addr)) in listeners.into_iter().enumerate() {
            let same = listeners
                .into_iter()
                .skip(i + 1)
                .find(|(_, other)| *other == addr && addr.port() != 0);
            if let Some((second, _)) = same {
                return Err(ConfigError::SameAddress { first, second, addr });
            }
        }
        Ok(())
    }
}

impl File {
    fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |reason: String| ConfigError::Read {
            path: path.to_owned(),
            reason,
        };
        let mut text = String::new();
        let file = fs::File::open(path).map_err(|err| unreadable(err.to_string()))?;
        file.take(MAX_FILE + 1)
            .read_to_string(&mut text)
            .map_err(|err| unreadable(err.to_string()))?;
        if text.len() as u64 > MAX_FILE {
            return Err(unreadable(format!(
                "longer than {MAX_FILE} bytes; is this the right file?"
            )));
        }
        let mut file: Self = toml::from_str(&text).map_err(|err| ConfigError::Parse {
            path: path.to_owned(),
            reason: one_line(&err, &text),
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        file.models = file.models.map(|models| folder.join(models));
        file.addresses = file.addresses.map(|addresses| folder.join(addresses));
        file.onnx_runtime_library = file.onnx_runtime_library.map(|library| folder.join(library));
        Ok(file)
    }
}

/// Line number and reason; the parser's own text draws a picture over several lines.
fn one_line(err: &toml::de::Error, text: &str) -> String {
    let message = err.message().lines().collect::<Vec<_>>().join(", ");
    match err.span().and_then(|span| text.get(..span.start)) {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message,
    }
}

fn models_folder(named: Option<PathBuf>, here: &Path) -> Result<PathBuf, ConfigError> {
    let Some(path) = named else {
        return MODELS
            .iter()
            .map(|usual| here.join(usual))
            .find(|path| path.is_dir())
            .ok_or(ConfigError::NoModels);
    };
    match fs::metadata(here.join(&path)) {
        Ok(meta) if meta.is_dir() => Ok(here.join(path)),
        Ok(_) => Err(ConfigError::Models {
            path,
            reason: "is a file; the folder that holds it is wanted".into(),
        }),
        Err(err) => Err(ConfigError::Models {
            path,
            reason: err.to_string(),
        }),
    }
}

fn default_capacity() -> ByteSize {
    ByteSize(memory::total().map_or(memory::FALLBACK, |bytes| bytes / 4)).max(MIN_CAPACITY)
}

#[cfg(test)]
mod tests;
