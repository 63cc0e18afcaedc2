//! Clients that stall, vanish or talk nonsense: others are served meanwhile and after.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{
    SOON, answers, onnx, rest,
    stowage::{self, Stowage},
};

/// More than a server should have in threads, or in places that a stalled client holds.
const STALLED: usize = 400;

/// What an HTTP/2 client sends first: preface and empty settings.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// `POST /x` as a HEADERS frame that ends its stream: literals without indexing, names from the static table of RFC 7541.
fn headers_frame(stream: u32) -> Vec<u8> {
    let block = b"\x83\x86\x44\x02/x";
    let mut frame = vec![0, 0, u8::try_from(block.len()).expect("short"), 1, 5];
    frame.extend(stream.to_be_bytes());
    frame.extend(block);
    frame
}

/// `RST_STREAM` with CANCEL.
fn reset_frame(stream: u32) -> Vec<u8> {
    let mut frame = vec![0, 0, 4, 3, 0];
    frame.extend(stream.to_be_bytes());
    frame.extend(8_u32.to_be_bytes());
    frame
}

async fn connect_and_send(address: &str, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address)
        .await
        .expect("the server can be reached");
    stream.write_all(bytes).await.expect("the server reads");
    stream
}

/// Whether the server still waits for more.
fn is_open(stream: &TcpStream) -> bool {
    let mut buffer = [0; 1_024];
    loop {
        match stream.try_read(&mut buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(err) => return err.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

/// Holds connections that have sent `bytes` and then nothing, while others ask.
async fn check_served_beside(address: fn(&Stowage) -> &str, bytes: &[u8]) {
    let mut server = Stowage::examples().await;
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        stalled.push(connect_and_send(address(&server), bytes).await);
    }
    // At once, not when the server has given one of the stalled up and has a place again.
    server.check_alive().await;
    assert!(
        stalled.iter().all(is_open),
        "others had to wait until the server gave one up"
    );
    answers::check_all(server.rest()).await;
    server.check_alive().await;
    drop(stalled);
    answers::check_still_serves(server.rest()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_in_the_middle_of_a_header() {
    check_served_beside(Stowage::rest, b"POST /v2/models/iris/infer HTTP/1.1\r\nHost: ").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_in_the_middle_of_a_body() {
    let bytes =
        b"POST /v2/models/iris/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{\"inputs\": [";
    check_served_beside(Stowage::rest, bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_in_the_middle_of_a_frame() {
    // A HEADERS frame of 256 bytes that does not come.
    let bytes = [HTTP2_PREFACE, &[0, 1, 0, 1, 4, 0, 0, 0, 1]].concat();
    check_served_beside(Stowage::grpc, &bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_cancels_all_of_its_calls_at_once_keeps_its_connection() {
    const PING: [u8; 8] = *b"answered";
    let server = Stowage::examples().await;
    let mut bytes = HTTP2_PREFACE.to_vec();
    let streams: Vec<u32> = (0..100).map(|number| number * 2 + 1).collect();
    for stream in &streams {
        bytes.extend(headers_frame(*stream));
        bytes.extend(reset_frame(*stream));
    }
    bytes.extend([0, 0, 8, 6, 0, 0, 0, 0, 0]);
    bytes.extend(PING);
    let mut client = connect_and_send(server.grpc(), &bytes).await;
    let answered = async {
        loop {
            let mut header = [0; 9];
            client
                .read_exact(&mut header)
                .await
                .expect("the connection stays open");
            let mut payload = vec![0; usize::from(header[1]) << 8 | usize::from(header[2])];
            client.read_exact(&mut payload).await.expect("frames are whole");
            match header[3] {
                6 if header[4] == 1 => return payload,
                7 => panic!("the server says good-bye: {payload:?}"),
                _ => {}
            }
        }
    };
    let payload = tokio::time::timeout(SOON, answered).await.expect("in time");
    assert_eq!(payload, PING);
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_on_every_port() {
    let mut server = Stowage::examples().await;
    let addresses = server.addresses.clone();
    for address in [&addresses.rest, &addresses.grpc, &addresses.admin] {
        for bytes in [
            &b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..],
            b"\0\0\0\0\0\0\0\0\0\0",
            b"HELO there\r\n\r\n",
        ] {
            let mut stream = connect_and_send(address, bytes).await;
            stream.shutdown().await.ok();
            let mut answer = Vec::new();
            // An answer or none; the connection ends either way.
            let read = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await;
            assert!(read.is_ok(), "{address}: connection still open after {bytes:?}");
        }
        server.check_alive().await;
    }
    answers::check_still_serves(server.rest()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_cancels_while_its_model_loads() {
    let folder = stowage::models_folder();
    onnx::place(folder.path(), "heavy.onnx", &onnx::weighing(64));
    let mut server = Stowage::start(folder.path(), "4GiB").await;
    let rest = server.rest().to_owned();
    let call = tokio::spawn(async move { rest::infer(&rest, "heavy", onnx::request(1.0)).await });
    let row = server.wait_for_state("heavy", &["LOADING", "LOADED"]).await;
    assert_eq!(row.state, "LOADING", "the model is too small for this test");
    call.abort();
    assert!(call.await.expect_err("was aborted").is_cancelled());
    answers::check_still_serves(server.rest()).await;
    server.check_alive().await;
    let answer = rest::infer(server.rest(), "heavy", onnx::request(2.5))
        .await
        .expect("the server answers");
    assert!((onnx::value(&answer) - 2.5).abs() < 1e-6);
    assert_eq!(server.model("heavy").await.state, "LOADED");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_ask_for_one_model_that_is_not_loaded() {
    let folder = stowage::models_folder();
    onnx::place(folder.path(), "heavy.onnx", &onnx::weighing(16));
    let server = Stowage::start(folder.path(), "4GiB").await;
    let calls: Vec<_> = (0_u8..16)
        .map(|number| {
            let rest = server.rest().to_owned();
            tokio::spawn(async move {
                let answer = rest::infer(&rest, "heavy", onnx::request(f32::from(number))).await;
                (f64::from(number), answer)
            })
        })
        .collect();
    for call in calls {
        let (number, answer) = call.await.expect("the call ends");
        let value = onnx::value(&answer.expect("the server answers"));
        assert!((value - number).abs() < 1e-6, "{value}, expected {number}");
    }
    assert_eq!(server.model("heavy").await.loads, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_its_answers() {
    let mut server = Stowage::examples().await;
    let body = String::from_utf8(answers::request("digits-cnn")).expect("requests are text");
    let call = format!(
        "POST /v2/models/digits-cnn/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut deaf = TcpStream::connect(server.rest())
        .await
        .expect("the server can be reached");
    // Until the server takes no more: answers that nobody reads must not pile up in it.
    let mut sent = 0;
    while let Ok(written) =
        tokio::time::timeout(Duration::from_secs(2), deaf.write_all(call.as_bytes())).await
    {
        if written.is_err() {
            break;
        }
        sent += 1;
        assert!(sent < 200_000, "the server takes requests without end");
    }
    answers::check_all(server.rest()).await;
    server.check_alive().await;
}
