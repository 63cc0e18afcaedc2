//! `stowage infer`: one request to one model over REST.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Read as _, Write as _},
    path::Path,
};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use kit::exit::UsageError;
use tokio::net::TcpStream;

use super::no_server;
use crate::{address::Server, args::InferArgs, models::name::VERSION_SEPARATOR};

/// Largest request and largest answer in bytes. Servers refuse far less by default; this only guards our own memory.
const MAX_BODY: usize = 256 << 20;

/// Sends the request, prints the answer on standard output.
pub async fn run(args: InferArgs) -> anyhow::Result<()> {
    let InferArgs {
        model,
        file,
        server,
        timeout,
    } = args;
    let path = path(&model)?;
    let body = read(&file).map_err(|err| UsageError(err.context(format!("read {}", file.display()))))?;
    let answer = tokio::time::timeout(timeout, post(&server, &path, body))
        .await
        .with_context(|| {
            format!(
                "no answer from {server} within {}",
                humantime::format_duration(timeout)
            )
        })?;
    let (status, mut body) = answer?;
    if status != StatusCode::OK {
        anyhow::bail!("{} answered {status}: {}", model, reason(&body));
    }
    if body.last() != Some(&b'\n') {
        body.push(b'\n');
    }
    io::stdout().write_all(&body).context("write the answer")
}

/// `/v2/models/m/infer`, or with the version of `m:2`.
fn path(model: &str) -> Result<String, UsageError> {
    let (name, version) = match model.rsplit_once(VERSION_SEPARATOR) {
        Some((name, version)) => (name, Some(version)),
        None => (model, None),
    };
    if name.is_empty() || version.is_some_and(str::is_empty) {
        return Err(UsageError::msg(format!(
            "MODEL {model:?} is no name; write NAME or NAME:VERSION"
        )));
    }
    let version = version
        .map(|version| format!("/versions/{}", escaped(version)))
        .unwrap_or_default();
    Ok(format!("/v2/models/{}{version}/infer", escaped(name)))
}

/// Percent-encoding of everything that is not unreserved in a URL.
fn escaped(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    let limit = MAX_BODY as u64 + 1;
    if file == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut body)?;
    } else {
        fs::File::open(file)?.take(limit).read_to_end(&mut body)?;
    }
    anyhow::ensure!(body.len() <= MAX_BODY, "more than {MAX_BODY} bytes");
    if let Err(err) = serde_json::from_slice::<serde::de::IgnoredAny>(&body) {
        anyhow::bail!("not JSON: {err}");
    }
    Ok(body)
}

async fn post(server: &Server, path: &str, body: Vec<u8>) -> anyhow::Result<(StatusCode, Vec<u8>)> {
    let stream = TcpStream::connect(server.authority())
        .await
        .map_err(|err| no_server(server, &err))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .context("talk HTTP to the server")?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, server.authority())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .context("build the request")?;
    let response = sender.send_request(request).await;
    let response =
        response.with_context(|| format!("no HTTP answer from {server}; is this its REST address?"))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
    let body = body
        .map_err(|err| anyhow::anyhow!("read the answer: {err}"))?
        .to_bytes()
        .to_vec();
    connection.abort();
    Ok((status, body))
}

/// The server's `error`, else what it sent.
fn reason(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Failure {
        error: String,
    }
    match serde_json::from_slice::<Failure>(body) {
        Ok(Failure { error }) => error,
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(path("m").unwrap(), "/v2/models/m/infer");
        assert_eq!(path("m:2").unwrap(), "/v2/models/m/versions/2/infer");
        assert_eq!(path("a b/c?").unwrap(), "/v2/models/a%20b%2Fc%3F/infer");
        for bad in ["", ":1", "m:"] {
            assert!(
                path(bad).unwrap_err().to_string().contains("NAME:VERSION"),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_servers_reason_is_shown() {
        assert_eq!(
            reason(br#"{"error":"model not found","code":5}"#),
            "model not found"
        );
        assert_eq!(reason(b"bad gateway\n"), "bad gateway");
        assert_eq!(reason(b""), "");
    }

    #[test]
    fn only_json_is_sent() {
        let dir = tempfile::TempDir::new().unwrap();
        let file = dir.path().join("request.json");
        fs::write(&file, "{\"inputs\": []}").unwrap();
        assert_eq!(read(&file).unwrap(), b"{\"inputs\": []}");
        fs::write(&file, "{\"inputs\": [}").unwrap();
        assert!(read(&file).unwrap_err().to_string().starts_with("not JSON: "));
        assert!(read(&dir.path().join("nowhere.json")).is_err());
    }
}
