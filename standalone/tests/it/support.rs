//! A running `stowage serve`, and ways to ask it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use bytes::Bytes;
use e2e::process::{self, Finished, Process};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

/// Long enough for a busy machine; every wait ends when its condition holds.
pub(crate) const SOON: Duration = Duration::from_mins(1);

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_stowage");

/// A server that ends with this value.
pub(crate) struct Served {
    pub(crate) process: Process,
    pub(crate) addresses: Addresses,
    _folder: TempDir,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Addresses {
    pub(crate) grpc: String,
    pub(crate) rest: String,
    pub(crate) admin: String,
}

impl Served {
    /// Serves `models` on free ports.
    pub(crate) async fn start(models: &Path) -> Self {
        let models = models.to_str().expect("the path is text");
        Self::start_with(&["--models", models, "--capacity", "1GiB"]).await
    }

    /// Serves with these flags on free ports.
    pub(crate) async fn start_with(flags: &[&str]) -> Self {
        let folder = TempDir::new().expect("the temporary folder can be written");
        let file = folder.path().join("addresses.json");
        let any = "127.0.0.1:0";
        let mut command = Command::new(BINARY);
        command.current_dir(process::root()).arg("serve").args(flags);
        command
            .args(["--grpc", any, "--rest", any, "--admin", any])
            .arg("--addresses")
            .arg(&file);
        let mut process = Process::start(command).expect("stowage starts");
        let text = process::eventually("the addresses", SOON, async || {
            process.check_running()?;
            Ok(fs::read(&file).ok())
        });
        let text = text.await.expect("stowage serves");
        let addresses = serde_json::from_slice(&text).expect("the addresses are JSON");
        Self {
            process,
            addresses,
            _folder: folder,
        }
    }

    /// What it printed, once all of that is there.
    pub(crate) async fn banner(&self) -> String {
        let printed = process::eventually("the banner", SOON, async || {
            let output = self.process.output();
            Ok(output.contains("Ctrl-C stops.").then_some(output))
        });
        printed.await.expect("stowage says how to use it")
    }

    /// `stowage models -o json`.
    pub(crate) async fn models(&self) -> Vec<Value> {
        let done = stowage(&["models", "-o", "json", "--server", &self.addresses.grpc]).await;
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        serde_json::from_str(&done.stdout).expect("the list is JSON")
    }

    /// What `stowage models` says of one model.
    pub(crate) async fn model(&self, name: &str) -> Value {
        let models = self.models().await;
        let found = models.iter().find(|model| model["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {models:?}")).clone()
    }

    /// Status and JSON of an inference over REST.
    pub(crate) async fn infer(&self, model: &str, request: &str) -> (StatusCode, Value) {
        let (status, body) = http(
            &self.addresses.rest,
            "POST",
            &format!("/v2/models/{model}/infer"),
            request,
        )
        .await;
        let answer = serde_json::from_slice(&body);
        (status, answer.unwrap_or_else(|err| panic!("{err}: {body:?}")))
    }

    /// Waits until this model answers with these numbers in its last output.
    pub(crate) async fn until(&self, model: &str, request: &str, expected: &[f64]) {
        let what = format!("{model} to answer {expected:?}");
        let waited = process::eventually(&what, SOON, async || {
            let (status, answer) = self.infer(model, request).await;
            Ok((status == StatusCode::OK && close(&numbers(&answer), expected)).then_some(()))
        });
        waited.await.expect("the answer changes");
    }

    /// Waits until metadata of this model is answered with this status.
    pub(crate) async fn until_status(&self, model: &str, expected: StatusCode) {
        let what = format!("{model} to be answered with {expected}");
        let waited = process::eventually(&what, SOON, async || {
            let (status, _) = http(&self.addresses.rest, "GET", &format!("/v2/models/{model}"), "").await;
            Ok((status == expected).then_some(()))
        });
        waited.await.expect("the status changes");
    }
}

/// One HTTP call on a connection of its own.
pub(crate) async fn http(address: &str, method: &str, path: &str, body: &str) -> (StatusCode, Bytes) {
    let stream = TcpStream::connect(address)
        .await
        .expect("the server can be reached");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("the server talks HTTP");
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", address);
    let request = request
        .body(Full::new(Bytes::from(body.to_owned())))
        .expect("the request is valid");
    let response = sender.send_request(request).await.expect("the server answers");
    let status = response.status();
    (
        status,
        response
            .into_body()
            .collect()
            .await
            .expect("the answer is whole")
            .to_bytes(),
    )
}

/// Runs `stowage` to its end.
pub(crate) async fn stowage(args: &[&str]) -> Finished {
    process::run(BINARY, args).await.expect("stowage runs")
}

/// Data of the last output.
pub(crate) fn numbers(answer: &Value) -> Vec<f64> {
    let outputs = answer["outputs"]
        .as_array()
        .unwrap_or_else(|| panic!("no outputs in {answer}"));
    let data = outputs.last().map(|output| &output["data"]);
    let data = data
        .and_then(Value::as_array)
        .unwrap_or_else(|| panic!("no data in {answer}"));
    data.iter()
        .map(|number| number.as_f64().expect("a number"))
        .collect()
}

pub(crate) fn close(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
}

/// A file of the examples.
pub(crate) fn example(path: &str) -> PathBuf {
    process::root().join("examples").join(path)
}

/// A sample request.
pub(crate) fn request(model: &str) -> String {
    fs::read_to_string(example(&format!("requests/{model}.json"))).expect("the example is there")
}

/// Numbers that a sample request is answered with.
pub(crate) fn expected(stem: &str) -> Vec<f64> {
    let text = fs::read(example(&format!("requests/{stem}.expected.json"))).expect("the example is there");
    numbers(&serde_json::from_slice(&text).expect("the example is JSON"))
}

/// Writes a file aside and moves it into place: whoever looks finds all of it or nothing.
pub(crate) fn place(content: &[u8], path: &Path) {
    fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the folder can be written");
    let unfinished = path.with_extension("tmp");
    fs::write(&unfinished, content).expect("the folder can be written");
    fs::rename(&unfinished, path).expect("the folder can be written");
}
