//! What a client cannot do to the server.

use std::{
    io::Write as _,
    pin::Pin,
    task::{Context, Poll},
};

use flate2::{Compression, write::GzEncoder};
use http_body::Frame;
use tonic::Code;

use super::{infer::answer, *};

const PATH: &str = "/v2/models/m/infer";
const ONE: &str = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1.5]}]}"#;

fn echo() -> Fake {
    Fake::default().answers(INFER, &answer("FP32", &[1], &[0; 4]))
}

fn infer(body: impl Into<Body>) -> Request<Body> {
    request(Method::POST, PATH).body(body.into()).expect("valid")
}

/// Sends frames; then ends, or hangs.
struct Frames {
    frames: std::vec::IntoIter<Bytes>,
    hangs: bool,
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        match this.frames.next() {
            Some(frame) => Poll::Ready(Some(Ok(Frame::data(frame)))),
            None if this.hangs => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

fn frames(frames: Vec<Bytes>, hangs: bool) -> Body {
    Body::new(Frames {
        frames: frames.into_iter(),
        hangs,
    })
}

#[tokio::test]
async fn a_body_in_pieces() {
    for size in [1, 7, 1000] {
        let pieces = ONE.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
        let (status, body) = json(send(echo().app(), infer(frames(pieces, false))).await);
        assert_eq!(status, StatusCode::OK, "{body}");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let fake = echo();
    let app = || {
        fake.app_with(RestOptions {
            max_message: 100,
            ..RestOptions::default()
        })
    };
    // Announced: nothing is read.
    let failure = json(send(app(), infer(vec![b' '; 101])).await);
    check_error(failure, 413, 8, "larger than the limit of 100 bytes");
    // Not announced.
    let pieces = vec![Bytes::from_static(&[b' '; 60]); 2];
    let failure = json(send(app(), infer(frames(pieces, true))).await);
    check_error(failure, 413, 8, "larger than the limit of 100 bytes");
    assert_eq!(send(app(), infer(ONE)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_bomb_is_refused() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&vec![b' '; 1 << 20]).expect("in memory");
    let bomb = gzip.finish().expect("in memory");
    assert!(bomb.len() < 2000);
    let post = request(Method::POST, PATH)
        .header("Content-Encoding", "gzip")
        .body(Body::from(bomb))
        .expect("valid");
    let app = echo().app_with(RestOptions {
        max_message: 1 << 19,
        ..RestOptions::default()
    });
    check_error(json(send(app, post).await), 413, 8, "when decompressed");
}

#[tokio::test]
async fn the_message_to_the_model_has_the_limit_too() {
    // Eight bytes of a double take two in JSON.
    let data = vec!["0"; 400].join(",");
    let body = format!(r#"{{"inputs":[{{"name":"x","shape":[400],"datatype":"FP64","data":[{data}]}}]}}"#);
    let app = echo().app_with(RestOptions {
        max_message: 3000,
        ..RestOptions::default()
    });
    check_error(
        json(send(app, infer(body)).await),
        413,
        8,
        "more than the limit of 3000 bytes",
    );
    // Tensors that fit, but not with their names around them.
    let body = format!(r#"{{"id":"{}","inputs":[]}}"#, "x".repeat(100));
    let app = echo().app_with(RestOptions {
        max_message: 102,
        ..RestOptions::default()
    });
    assert_eq!(send(app, infer(body)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_slow_client_is_sent_away() {
    let fake = echo();
    let body = frames(vec![Bytes::from_static(b"{")], true);
    let options = RestOptions {
        body_timeout: Duration::from_millis(20),
        ..RestOptions::default()
    };
    let (status, headers, _) = send(fake.app_with(options), infer(body)).await;
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(headers["connection"], "close");
    assert!(fake.calls().is_empty());
}

#[tokio::test]
async fn a_slow_model_ends_at_the_deadline() {
    let fake = Fake {
        gate: Some(Arc::new(Semaphore::new(0))),
        ..echo()
    };
    let post = request(Method::POST, PATH)
        .header("Grpc-Timeout", "50m")
        .body(Body::from(ONE))
        .expect("valid");
    check_error(
        json(send(fake.app(), post).await),
        504,
        Code::DeadlineExceeded.into(),
        "did not answer in time",
    );
    let options = RestOptions {
        call_timeout: Duration::from_millis(20),
        ..RestOptions::default()
    };
    check_error(
        json(send(fake.app_with(options), infer(ONE)).await),
        504,
        4,
        "did not answer in time",
    );
    let post = request(Method::POST, PATH)
        .header("Grpc-Timeout", "soon")
        .body(Body::from(ONE))
        .expect("valid");
    check_error(json(send(fake.app(), post).await), 400, 3, "Grpc-Timeout must be");
}

#[tokio::test]
async fn more_requests_than_places_are_shed_and_probes_are_not() {
    let gate = Arc::new(Semaphore::new(0));
    let fake = Fake {
        gate: Some(Arc::clone(&gate)),
        ..echo()
    }
    .answers(
        "/inference.GRPCInferenceService/ServerLive",
        &api::inference::ServerLiveResponse { live: true },
    );
    let app = fake.app_with(RestOptions {
        max_requests: 1,
        ..RestOptions::default()
    });
    let first = tokio::spawn(send(app.clone(), infer(ONE)));
    // The first is at the model once its call is recorded.
    while fake.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    let (status, headers, _) = send(app.clone(), infer(ONE)).await;
    assert_eq!(
        (status, headers["retry-after"].as_bytes()),
        (StatusCode::SERVICE_UNAVAILABLE, &b"1"[..])
    );
    let probe = request(Method::GET, "/v2/health/live")
        .body(Body::empty())
        .expect("valid");
    let probe = tokio::spawn(send(app.clone(), probe));
    gate.add_permits(2);
    assert_eq!(probe.await.expect("no panic").0, StatusCode::OK);
    assert_eq!(first.await.expect("no panic").0, StatusCode::OK);
    // The place is free again.
    gate.add_permits(1);
    assert_eq!(send(app, infer(ONE)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn bodies_share_a_budget_and_small_ones_need_none() {
    let gate = Arc::new(Semaphore::new(0));
    let fake = Fake {
        gate: Some(Arc::clone(&gate)),
        ..echo()
    };
    let app = fake.app_with(RestOptions {
        max_bodies: 128 << 10,
        ..RestOptions::default()
    });
    let large = || infer(format!("{}{ONE}", " ".repeat(100 << 10)));
    let first = tokio::spawn(send(app.clone(), large()));
    while fake.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    let small = tokio::spawn(send(app.clone(), infer(ONE)));
    let second = send(app.clone(), infer(format!("{}{ONE}", " ".repeat(128 << 10)))).await;
    assert_eq!(second.1["retry-after"], "1");
    check_error(json(second), 503, 14, "too many requests at once");
    gate.add_permits(2);
    assert_eq!(small.await.expect("no panic").0, StatusCode::OK);
    assert_eq!(first.await.expect("no panic").0, StatusCode::OK);
    // The first gave its share back.
    gate.add_permits(1);
    assert_eq!(send(app, large()).await.0, StatusCode::OK);
}

#[tokio::test]
async fn large_bodies_are_worked_on_elsewhere() {
    let count = 100_000;
    let data = vec!["1.5"; count].join(",");
    let body =
        format!(r#"{{"inputs":[{{"name":"x","shape":[{count}],"datatype":"FP32","data":[{data}]}}]}}"#);
    let raw = 1.5_f32.to_le_bytes().repeat(count);
    let fake = Fake::default().answers(
        INFER,
        &answer("FP32", &[i64::try_from(count).expect("small")], &raw),
    );
    let (status, answered) = post(&fake, PATH, &body).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        answered["outputs"][0]["data"].as_array().map(Vec::len),
        Some(count)
    );
    let (_, sent) = fake.only::<api::inference::ModelInferRequest>(INFER);
    assert_eq!(sent.raw_input_contents, [raw]);
}

/// A backend with a bug.
#[derive(Clone)]
struct Panics;

impl Backend for Panics {
    async fn call(&self, _: &'static str, _: HeaderMap, _: Chunks) -> Result<(HeaderMap, Chunks), Status> {
        panic!("a bug")
    }
}

#[tokio::test]
async fn a_panic_is_one_failed_request() {
    let app = app(Panics, RestOptions::default());
    check_error(json(send(app, infer(ONE)).await), 500, 13, "internal error");
}
