//! Requests that are wrong: each gets an error that names the field and the rule, and the process keeps serving.

use api::inference::{
    ModelInferRequest, grpc_inference_service_client::GrpcInferenceServiceClient,
    model_infer_request::InferInputTensor,
};
use bytes::Bytes;
use http::{HeaderName, StatusCode, header};
use tonic::{Code, Request, Status, metadata::MetadataValue};

use crate::support::{
    answers,
    rest::{self, request},
    stowage::Stowage,
};

/// More than answering a refused request may take; far less than what the request claims to be.
const SLACK_BYTES: u64 = 100 << 20;

/// A request for the iris model with these fields of its input.
fn iris(name: &str, shape: &str, datatype: &str, data: &str) -> String {
    format!(r#"{{"inputs":[{{"name":"{name}","shape":{shape},"datatype":"{datatype}","data":{data}}}]}}"#)
}

/// What is wrong, the body of a request to the iris model, and words that the error must have.
type Case = (&'static str, String, &'static [&'static str]);

/// Fails unless each body is refused with 400 and a message that has all the words, and the server serves after all.
async fn check_refused(rest: &str, cases: Vec<Case>) {
    for (title, body, words) in cases {
        let answer = rest::infer(rest, "iris", body)
            .await
            .unwrap_or_else(|err| panic!("{title}: {err:#}"));
        let text = answer.error(StatusCode::BAD_REQUEST);
        for word in words {
            assert!(text.contains(word), "{title}: no {word:?} in {text:?}");
        }
    }
    answers::check_still_serves(rest).await;
}

/// Every case here, against a server of the example models.
pub(crate) async fn check_all(rest: &str) {
    check_refused(rest, wrong_tensors()).await;
    check_refused(rest, no_json()).await;
    check_refused(rest, no_floats()).await;
    check_refused(rest, deeply_nested()).await;
}

/// The same against `stowage`, one kind at a time.
async fn check(cases: Vec<Case>) {
    let mut server = Stowage::examples().await;
    check_refused(server.rest(), cases).await;
    server.check_alive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tensors_that_do_not_fit() {
    check(wrong_tensors()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_json() {
    check(no_json()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_no_float_holds() {
    check(no_floats()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deeply_nested_arrays() {
    check(deeply_nested()).await;
}

fn wrong_tensors() -> Vec<Case> {
    let four = "[1, 2, 3, 4]";
    vec![
        (
            "name",
            iris("petals", "[1, 4]", "FP32", four),
            &["petals", "features"],
        ),
        (
            "columns",
            iris("features", "[1, 5]", "FP32", "[1, 2, 3, 4, 5]"),
            &["features", "5", "4"],
        ),
        ("rank", iris("features", "[4]", "FP32", four), &["features"]),
        (
            "datatype",
            iris("features", "[1, 4]", "INT64", four),
            &["features", "INT64", "FP32"],
        ),
        (
            "no such datatype",
            iris("features", "[1, 4]", "FLOAT", four),
            &["features", "FLOAT"],
        ),
        (
            "too few values",
            iris("features", "[1, 4]", "FP32", "[1, 2, 3]"),
            &["features", "3", "4"],
        ),
        (
            "too many values",
            iris("features", "[1, 4]", "FP32", "[1, 2, 3, 4, 5]"),
            &["features", "4"],
        ),
        (
            "text for a number",
            iris("features", "[1, 4]", "FP32", r#"[1, 2, 3, "4"]"#),
            &["features"],
        ),
        (
            "negative size",
            iris("features", "[-1, 4]", "FP32", four),
            &["features", "-1"],
        ),
        (
            "size that overflows",
            iris("features", "[4294967296, 4294967296]", "FP32", four),
            &["features"],
        ),
        ("no inputs", r#"{"inputs":[]}"#.to_owned(), &["features"]),
        ("nothing", "{}".to_owned(), &["inputs"]),
    ]
}

fn no_json() -> Vec<Case> {
    vec![
        ("empty", String::new(), &[]),
        ("text", "iris".to_owned(), &[]),
        (
            "cut",
            iris("features", "[1, 4]", "FP32", "[1, 2, 3, 4]")[..60].to_owned(),
            &[],
        ),
        ("a list", "[]".to_owned(), &[]),
        ("more after it", r#"{"inputs":[]} {"inputs":[]}"#.to_owned(), &[]),
    ]
}

fn no_floats() -> Vec<Case> {
    let with = |value: &str| iris("features", "[1, 4]", "FP32", &format!("[1, 2, 3, {value}]"));
    vec![
        ("NaN", with("NaN"), &[]),
        ("Infinity", with("Infinity"), &[]),
        ("-Infinity", with("-Infinity"), &[]),
        ("beyond FP64", with("1e400"), &["features"]),
        ("beyond FP32", with("1e39"), &["features", "FP32"]),
        ("null", with("null"), &["features"]),
    ]
}

fn deeply_nested() -> Vec<Case> {
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let ones = format!("[{}]", ["1"; 10].join(","));
    vec![
        (
            "10 levels for 2 dimensions",
            iris("features", "[1, 4]", "FP32", &nested(10)),
            &["features"],
        ),
        (
            "10 levels and dimensions",
            iris("features", &ones, "FP32", &nested(10)),
            &["features"],
        ),
        (
            "uneven rows",
            iris("features", "[2, 2]", "FP32", "[[1, 2, 3], [4]]"),
            &["features"],
        ),
        (
            "100,000 levels",
            iris("features", "[1, 4]", "FP32", &nested(100_000)),
            &[],
        ),
        (
            "never closed",
            iris("features", "[1, 4]", "FP32", &"[".repeat(100_000)),
            &[],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_declared_in_a_small_body() {
    let mut server = Stowage::examples().await;
    answers::check_still_serves(server.rest()).await;
    let before = server.process.peak_bytes().expect("memory can be read");
    for (shape, datatype) in [
        ("[268435456]", "FP32"),
        ("[67108864, 4]", "FP32"),
        ("[1073741824]", "BYTES"),
    ] {
        let body = iris("features", shape, datatype, "[1]");
        assert!(body.len() < 110);
        let answer = rest::infer(server.rest(), "iris", body)
            .await
            .expect("the server answers");
        // Wrong, or more than the server would take: either is true.
        let wrong = matches!(
            answer.status,
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE
        );
        let text = answer.error(answer.status);
        assert!(wrong && text.contains("features"), "{} {text}", answer.status);
    }
    let head = r#"{"inputs":[{"name":"features","shape":[67108864,4],"datatype":"FP32","parameters":{"binary_data_size":1073741824}}]}"#;
    let mut call = request(http::Method::POST, "/v2/models/iris/infer", head);
    call.headers_mut().insert(
        HeaderName::from_static("inference-header-content-length"),
        head.len().into(),
    );
    let answer = rest::call(server.rest(), call).await.expect("the server answers");
    answer.error(answer.status);
    assert!(answer.status.is_client_error(), "{}", answer.status);
    let after = server.process.peak_bytes().expect("memory can be read");
    assert!(
        after < before + SLACK_BYTES,
        "{before} bytes before, {after} after"
    );
    server.check_alive().await;
    answers::check_still_serves(server.rest()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_of_gzip() {
    let mut server = Stowage::examples().await;
    answers::check_still_serves(server.rest()).await;
    let before = server.process.peak_bytes().expect("memory can be read");
    let mut call = request(
        http::Method::POST,
        "/v2/models/iris/infer",
        Bytes::from(gzip_of_zeros()),
    );
    call.headers_mut()
        .insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
    let answer = rest::call(server.rest(), call).await.expect("the server answers");
    assert!(
        answer.status.is_client_error(),
        "{} {:?}",
        answer.status,
        answer.body
    );
    let after = server.process.peak_bytes().expect("memory can be read");
    assert!(
        after < before + SLACK_BYTES,
        "{before} bytes before, {after} after"
    );
    server.check_alive().await;
    answers::check_still_serves(server.rest()).await;
}

/// A gigabyte of spaces in about a megabyte of gzip, by `gzip` itself.
fn gzip_of_zeros() -> Vec<u8> {
    let script = "head -c 1073741824 /dev/zero | tr '\\0' ' ' | gzip -1";
    let done = std::process::Command::new("sh")
        .args(["-c", script])
        .output()
        .expect("gzip runs");
    assert!(done.status.success() && done.stdout.len() > 1_000);
    done.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_models() {
    let mut server = Stowage::examples().await;
    for path in [
        "/v2/models/no-such-model/infer",
        "/v2/models/iris/versions/77/infer",
        "/v2/models/%00/infer",
        "/v2/models/..%2F..%2Fetc%2Fpasswd/infer",
    ] {
        let answer = rest::post(server.rest(), path, answers::request("iris"))
            .await
            .expect("the server answers");
        assert_eq!(answer.status, 404, "{path}: {:?}", answer.body);
        answer.error(StatusCode::NOT_FOUND);
    }
    server.check_alive().await;
    answers::check_still_serves(server.rest()).await;
}

async fn infer(server: &Stowage, name: &str, ids: &[(&'static str, &'static str)]) -> Result<(), Status> {
    let mut client = GrpcInferenceServiceClient::connect(format!("http://{}", server.grpc()))
        .await
        .expect("the server can be reached");
    let input = InferInputTensor {
        name: "features".to_owned(),
        datatype: "FP32".to_owned(),
        shape: vec![1, 4],
        ..InferInputTensor::default()
    };
    let mut call = Request::new(ModelInferRequest {
        model_name: name.to_owned(),
        inputs: vec![input],
        raw_input_contents: vec![vec![0; 16].into()],
        ..ModelInferRequest::default()
    });
    for (header, value) in ids {
        call.metadata_mut()
            .append(*header, MetadataValue::from_static(value));
    }
    client.model_infer(call).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_missing_double_or_unknown() {
    let mut server = Stowage::examples().await;
    infer(&server, "iris", &[])
        .await
        .expect("a right call is answered");
    let (model, vmodel) = ("mm-model-id", "mm-vmodel-id");
    let cases: [(&str, &[_], Code, &str); 6] = [
        ("", &[], Code::InvalidArgument, "mm-model-id"),
        ("", &[(model, "")], Code::InvalidArgument, ""),
        (
            "",
            &[(model, "iris"), (vmodel, "iris")],
            Code::InvalidArgument,
            "",
        ),
        ("no-such-model", &[], Code::NotFound, "not found"),
        ("", &[(model, "no-such-model")], Code::NotFound, "model not found"),
        (
            "",
            &[(vmodel, "no-such-model")],
            Code::NotFound,
            "vmodel not found",
        ),
    ];
    for (name, ids, code, word) in cases {
        let status = infer(&server, name, ids).await.expect_err("must be refused");
        assert_eq!(status.code(), code, "{ids:?}: {status}");
        assert!(status.message().contains(word), "{ids:?}: {status}");
    }
    infer(&server, "", &[(vmodel, "iris")])
        .await
        .expect("a right call is answered");
    server.check_alive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_unknown_ids() {
    const IDS: usize = 10_000;
    const GROWTH_BYTES: u64 = 20 << 20;

    let mut server = Stowage::examples().await;
    answers::check_still_serves(server.rest()).await;
    let ask = async |from: usize, to: usize| {
        let mut connection = rest::Connection::open(server.rest())
            .await
            .expect("the server can be reached");
        for number in from..to {
            let path = format!("/v2/models/no-such-model-{number}/infer");
            let call = request(http::Method::POST, &path, answers::request("iris"));
            let answer = connection.send(call).await.expect("the server answers");
            assert_eq!(answer.status, 404);
        }
    };
    let metrics = async || {
        rest::get(&server.addresses.admin, "/metrics")
            .await
            .expect("metrics")
            .body
            .len()
    };
    // The first ones fill pools and buffers.
    ask(0, 500).await;
    let before = (
        server.process.resident_bytes().expect("memory can be read"),
        metrics().await,
    );
    ask(500, IDS).await;
    for number in 0..200 {
        let status = infer(&server, &format!("no-such-model-grpc-{number}"), &[]).await;
        assert_eq!(status.expect_err("must be refused").code(), Code::NotFound);
    }
    let after = (
        server.process.resident_bytes().expect("memory can be read"),
        metrics().await,
    );
    assert!(
        after.0 < before.0 + GROWTH_BYTES,
        "memory: {} bytes before, {} after",
        before.0,
        after.0
    );
    assert!(
        after.1 < before.1 + 4_096,
        "metrics: {} bytes before, {} after",
        before.1,
        after.1
    );
    server.check_alive().await;
    answers::check_still_serves(server.rest()).await;
}
