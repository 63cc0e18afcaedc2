//! What `stowage serve` says when it is up: what is served, where, and lines to paste that work.

use std::{
    env, fmt, fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use kit::args::ByteSize;

use crate::{
    client::models::size,
    config::{DEFAULT_GRPC, DEFAULT_REST},
    models::{Models, count, name::VERSION_SEPARATOR},
    serve::Addresses,
};

/// Names that are printed; the rest is a number.
const MAX_NAMES: usize = 8;

/// The text; plain, for people.
#[derive(Debug)]
pub struct Banner {
    program: String,
    folder: String,
    models: usize,
    names: Vec<String>,
    refused: usize,
    capacity: ByteSize,
    engines: String,
    addresses: Addresses,
    example: Option<Example>,
}

/// A model to try, with a request if there is one.
#[derive(Debug)]
struct Example {
    name: String,
    request: Option<PathBuf>,
}

impl Banner {
    /// What is served from `folder`, how many files of it are not, and what runs it.
    pub fn new(
        folder: &Path,
        models: &Models,
        refused: usize,
        capacity: ByteSize,
        engines: String,
        addresses: Addresses,
    ) -> Self {
        let here = env::current_dir().unwrap_or_default();
        let names: Vec<_> = models
            .keys()
            .filter(|name| !name.contains(VERSION_SEPARATOR))
            .collect();
        let example = names
            .iter()
            .filter_map(|name| Some((*name, request(folder, name)?)))
            // The shortest is the one that a person can read.
            .min_by_key(|(_, request)| fs::metadata(request).map_or(u64::MAX, |meta| meta.len()))
            .map(|(name, request)| Example {
                name: name.clone(),
                request: Some(relative(&request, &here)),
            })
            .or_else(|| {
                names.first().map(|name| Example {
                    name: (*name).clone(),
                    request: None,
                })
            });
        Self {
            program: env::args().next().unwrap_or_else(|| "stowage".to_owned()),
            folder: relative(folder, &here).display().to_string(),
            models: count(models),
            names: names.into_iter().take(MAX_NAMES).cloned().collect(),
            refused,
            capacity,
            engines,
            addresses,
            example,
        }
    }
}

/// A sample request that lies in the model's own folder, or in `requests` beside the models.
fn request(folder: &Path, name: &str) -> Option<PathBuf> {
    let beside = folder
        .parent()
        .map(|parent| parent.join("requests").join(format!("{name}.json")));
    [Some(folder.join(name).join("request.json")), beside]
        .into_iter()
        .flatten()
        .find(|path| path.is_file())
}

fn relative(path: &Path, here: &Path) -> PathBuf {
    match path.strip_prefix(here) {
        Ok(inner) if inner.as_os_str().is_empty() => PathBuf::from("."),
        Ok(inner) => inner.to_owned(),
        Err(_) => path.to_owned(),
    }
}

/// An address that a client on this machine can use.
fn reachable(addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), addr.port())
    } else {
        addr
    }
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '@' | ':' | '=' | '+' | ',')
    };
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            program,
            folder,
            models,
            names,
            refused,
            capacity,
            engines,
            addresses,
            example,
        } = self;
        let Addresses { grpc, rest, admin } = *addresses;
        let plural = if *models == 1 { "" } else { "s" };
        let version = env!("CARGO_PKG_VERSION");
        writeln!(f, "Stowage {version}: {models} model{plural} in {folder}")?;
        if !names.is_empty() {
            write!(f, "  {}", names.join(", "))?;
            match models.saturating_sub(names.len()) {
                0 => writeln!(f)?,
                more => writeln!(f, " and {more} more")?,
            }
        }
        if *refused > 0 {
            writeln!(f, "  {refused} not served, the log says why")?;
        }
        writeln!(f)?;
        writeln!(f, "  REST      http://{rest}")?;
        writeln!(f, "  gRPC      {grpc}")?;
        writeln!(
            f,
            "  page      http://{admin}/  (metrics: /metrics, probes: /ready, /live)"
        )?;
        writeln!(
            f,
            "  memory    {} for models, loaded when they are asked for",
            size(capacity.0)
        )?;
        writeln!(f, "  engine    {engines}")?;
        writeln!(f)?;
        let rest = reachable(rest);
        match example {
            Some(Example { name, request }) => {
                writeln!(f, "Try, in another terminal:")?;
                writeln!(f, "  curl http://{rest}/v2/models/{name}")?;
                if let Some(request) = request {
                    let data = quoted(&format!("@{}", request.display()));
                    writeln!(f, "  curl -d {data} http://{rest}/v2/models/{name}/infer")?;
                }
            }
            None => {
                writeln!(
                    f,
                    "Put an ONNX file into {folder}, and it is served: {folder}/m.onnx becomes model m."
                )?;
            }
        }
        let program = quoted(program);
        let server = |addr: SocketAddr, usual: u16| match reachable(addr) {
            addr if addr == SocketAddr::from((Ipv4Addr::LOCALHOST, usual)) => String::new(),
            addr => format!(" --server {addr}"),
        };
        if let Some(Example {
            name,
            request: Some(request),
        }) = example
        {
            let request = quoted(&request.display().to_string());
            writeln!(
                f,
                "  {program} infer {name} {request}{}",
                server(rest, DEFAULT_REST)
            )?;
        }
        writeln!(f, "  {program} models{}", server(grpc, DEFAULT_GRPC))?;
        writeln!(f)?;
        writeln!(
            f,
            "Files that are added, changed or removed are followed. Ctrl-C stops."
        )
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::models::walk;

    fn addresses(ports: [u16; 3]) -> Addresses {
        let [grpc, rest, admin] = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        Addresses { grpc, rest, admin }
    }

    fn banner(folder: &Path, addresses: Addresses) -> String {
        let scan = walk::scan(folder).unwrap();
        let mut banner = Banner::new(
            folder,
            &scan.models,
            scan.warnings.len(),
            ByteSize(2 << 30),
            "the built-in engine (tract)".to_owned(),
            addresses,
        );
        banner.program = "target/release/stowage".to_owned();
        banner.folder = "nets".to_owned();
        banner.to_string()
    }

    #[test]
    fn shows_what_where_and_how() {
        let dir = TempDir::new().unwrap();
        let (folder, requests) = (dir.path().join("nets"), dir.path().join("requests"));
        fs::create_dir(&folder).unwrap();
        fs::create_dir(&requests).unwrap();
        for name in ["a.onnx", "b.onnx", "bad name.onnx"] {
            fs::write(folder.join(name), "").unwrap();
        }
        fs::write(requests.join("b.json"), "{}").unwrap();
        let requests = requests.display();
        let expected = format!(
            "Stowage {}: 2 models in nets
  a, b
  1 not served, the log says why

  REST      http://127.0.0.1:8008
  gRPC      127.0.0.1:8033
  page      http://127.0.0.1:2112/  (metrics: /metrics, probes: /ready, /live)
  memory    2.0 GiB for models, loaded when they are asked for
  engine    the built-in engine (tract)

Try, in another terminal:
  curl http://127.0.0.1:8008/v2/models/b
  curl -d @{requests}/b.json http://127.0.0.1:8008/v2/models/b/infer
  target/release/stowage infer b {requests}/b.json
  target/release/stowage models

Files that are added, changed or removed are followed. Ctrl-C stops.
",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(banner(&folder, addresses([8033, 8008, 2112])), expected);
        let elsewhere = banner(&folder, addresses([1, 2, 3]));
        assert!(
            elsewhere.contains("stowage models --server 127.0.0.1:1\n"),
            "{elsewhere}"
        );
        assert!(elsewhere.contains("b.json --server 127.0.0.1:2\n"), "{elsewhere}");
    }

    #[test]
    fn an_empty_folder_says_what_to_do() {
        let dir = TempDir::new().unwrap();
        let text = banner(dir.path(), addresses([8033, 8008, 2112]));
        assert!(text.contains("0 models in nets"), "{text}");
        assert!(text.contains("nets/m.onnx becomes model m"), "{text}");
        assert!(!text.contains("curl"), "{text}");
    }

    #[test]
    fn many_names_become_a_number() {
        let dir = TempDir::new().unwrap();
        for i in 0..20 {
            fs::write(dir.path().join(format!("m{i:02}.onnx")), "").unwrap();
        }
        let text = banner(dir.path(), addresses([8033, 8008, 2112]));
        assert!(
            text.contains("m00, m01, m02, m03, m04, m05, m06, m07 and 12 more\n"),
            "{text}"
        );
    }

    #[test]
    fn words_for_a_shell() {
        assert_eq!(quoted("a/b.json"), "a/b.json");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn wildcards_are_reached_over_loopback() {
        assert_eq!(
            reachable("0.0.0.0:7".parse().unwrap()),
            "127.0.0.1:7".parse().unwrap()
        );
        assert_eq!(reachable("[::1]:7".parse().unwrap()), "[::1]:7".parse().unwrap());
    }
}
