//! Over real connections.

use std::net::SocketAddr;

use kit::drain::{Drain, Drained};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{infer::answer, *};

const ONE: &str = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1.5]}]}"#;

async fn start(fake: &Fake, connections: usize) -> (SocketAddr, Drain, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let drain = Drain::new(Duration::from_secs(30));
    let served = tokio::spawn(router::rest::serve(
        listener,
        fake.app(),
        connections,
        None,
        drain.clone(),
    ));
    (addr, drain, served)
}

fn echo() -> Fake {
    Fake::default().answers(INFER, &answer("FP32", &[1], &[0; 4]))
}

fn head(fields: &str) -> String {
    format!("POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n")
}

/// Reads until `end` has arrived.
async fn read_until(socket: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut byte = [0];
        socket
            .read_exact(&mut byte)
            .await
            .unwrap_or_else(|error| panic!("{error} after {text}"));
        text.push(char::from(byte[0]));
    }
    text
}

#[tokio::test]
async fn expect_continue_is_answered_only_if_the_body_is_wanted() {
    let (addr, _drain, _) = start(&echo(), 8).await;
    let mut socket = TcpStream::connect(addr).await.expect("connects");
    let fields = format!("Content-Length: {}\r\nExpect: 100-continue", ONE.len());
    socket.write_all(head(&fields).as_bytes()).await.expect("writes");
    assert_eq!(
        read_until(&mut socket, "\r\n\r\n").await,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    socket.write_all(ONE.as_bytes()).await.expect("writes");
    assert!(
        read_until(&mut socket, "}]}")
            .await
            .starts_with("HTTP/1.1 200 OK\r\n")
    );

    let mut socket = TcpStream::connect(addr).await.expect("connects");
    let fields = "Content-Length: 99999999\r\nExpect: 100-continue";
    socket.write_all(head(fields).as_bytes()).await.expect("writes");
    assert!(
        read_until(&mut socket, "\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 413 ")
    );
}

#[tokio::test]
async fn a_drain_waits_for_requests_and_closes_idle_connections() {
    let gate = Arc::new(Semaphore::new(0));
    let fake = Fake {
        gate: Some(Arc::clone(&gate)),
        ..echo()
    };
    let (addr, drain, served) = start(&fake, 8).await;
    let mut idle = TcpStream::connect(addr).await.expect("connects");
    let mut busy = TcpStream::connect(addr).await.expect("connects");
    busy.write_all(head(&format!("Content-Length: {}", ONE.len())).as_bytes())
        .await
        .expect("writes");
    busy.write_all(ONE.as_bytes()).await.expect("writes");
    while fake.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    drain.start();
    served.await.expect("no panic");
    assert!(drain.in_flight() > 0);
    gate.add_permits(1);
    let text = read_until(&mut busy, "}]}").await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(matches!(drain.finished().await, Drained::Clean));
    let mut rest = Vec::new();
    assert_eq!(busy.read_to_end(&mut rest).await.expect("closed"), 0);
    assert_eq!(idle.read_to_end(&mut rest).await.expect("closed"), 0);
}

#[tokio::test]
async fn connections_have_a_limit() {
    let fake = echo();
    let (addr, _drain, _) = start(&fake, 1).await;
    let request = head(&format!("Content-Length: {}", ONE.len())) + ONE;
    let mut first = TcpStream::connect(addr).await.expect("connects");
    first.write_all(request.as_bytes()).await.expect("writes");
    read_until(&mut first, "}]}").await;
    // The second waits in the kernel's queue until the first is gone.
    let mut second = TcpStream::connect(addr).await.expect("connects");
    second.write_all(request.as_bytes()).await.expect("writes");
    for _ in 0..20 {
        first.write_all(request.as_bytes()).await.expect("writes");
        read_until(&mut first, "}]}").await;
    }
    assert_eq!(fake.calls().len(), 21);
    drop(first);
    read_until(&mut second, "}]}").await;
}
