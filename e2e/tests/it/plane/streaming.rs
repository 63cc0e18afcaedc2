//! All kinds of streams, with flow control, cancellation and deadlines.

use std::{sync::atomic::Ordering, time::Duration};

use api::{inference::ModelInferRequest, names::methods::MODEL_STREAM_INFER};
use bytes::Bytes;
use e2e::client::{Client, frame};
use prost::Message as _;

use super::{ECHO, Fixture, LIMIT, PATIENCE, Settings, fixture, until};

const A: (&str, &str) = ("mm-model-id", "a");

#[tokio::test]
async fn client_and_server_streams() {
    let fixture = fixture(Settings::default()).await;
    let mut call = fixture
        .client
        .open(&format!("{ECHO}ClientStream"), &[A])
        .await
        .expect("opened");
    for (i, part) in ["one ", "two ", "three"].into_iter().enumerate() {
        call.message(part.as_bytes(), i == 2).await.expect("sent");
    }
    assert_eq!(call.finish().await.expect("answered").messages, ["one two three"]);
    let answer = fixture
        .call(&format!("{ECHO}ServerStream"), &[A, ("x-count", "100")], b"again")
        .await;
    assert_eq!((answer.messages.len(), answer.code().expect("status")), (100, 0));
}

#[tokio::test]
async fn bidi_is_interactive() {
    let fixture = fixture(Settings::default()).await;
    let mut call = fixture
        .client
        .open(&format!("{ECHO}Bidi"), &[A])
        .await
        .expect("opened");
    call.message(b"turn 0", false).await.expect("sent");
    let mut send = std::mem::replace(
        &mut call.send,
        fixture.client.open("/x/y", &[A]).await.expect("opened").send,
    );
    let (_, mut body) = call.head().await.expect("the head comes before the request ends");
    for turn in 0..20 {
        let answer = body.data().await.expect("a turn").expect("received");
        assert_eq!(answer, frame(format!("turn {turn}").as_bytes()));
        let _ = body.flow_control().release_capacity(answer.len());
        send.send_data(frame(format!("turn {}", turn + 1).as_bytes()), turn == 19)
            .expect("sent");
    }
}

#[tokio::test]
async fn large_messages_pass_both_ways() {
    let fixture = fixture(Settings::default()).await;
    let large = vec![42; LIMIT];
    let mut call = fixture
        .client
        .open(&format!("{ECHO}Bidi"), &[A])
        .await
        .expect("opened");
    let (answer, sent) = {
        let other = fixture.client.open("/x/y", &[A]).await.expect("opened").send;
        let mut sender = std::mem::replace(&mut call.send, other);
        let sending = async {
            // Far more than any window, so that flow control works end to end.
            for turn in 0..20 {
                let mut data = frame(&large);
                while !data.is_empty() {
                    sender.reserve_capacity(data.len());
                    let room = std::future::poll_fn(|cx| sender.poll_capacity(cx)).await;
                    let part = data.split_to(room.expect("open").expect("room").min(data.len()));
                    sender
                        .send_data(part, turn == 19 && data.is_empty())
                        .expect("sent");
                }
            }
        };
        tokio::join!(call.finish(), sending)
    };
    let () = sent;
    let answer = answer.expect("answered");
    assert_eq!((answer.messages.len(), answer.code().expect("status")), (20, 0));
    assert!(answer.messages.iter().all(|message| message == &large));
}

#[tokio::test]
async fn cancellation_reaches_the_backend() {
    let fixture = fixture(Settings::default()).await;
    let mut call = fixture
        .client
        .open(&format!("{ECHO}Slow"), &[A])
        .await
        .expect("opened");
    call.message(b"never answered", true).await.expect("sent");
    let stats = fixture.backend.stats.clone();
    until("the call to arrive", || stats.calls.load(Ordering::Relaxed) == 1).await;
    drop(call);
    until("the backend to notice", || {
        stats.cancelled.load(Ordering::Relaxed) == 1
    })
    .await;
}

#[tokio::test]
async fn deadlines_end_the_call_on_both_sides() {
    let fixture = fixture(Settings::default()).await;
    let (code, text) = fixture
        .failure(&format!("{ECHO}Slow"), &[A, ("grpc-timeout", "200m")], b"")
        .await;
    assert_eq!(code, 4, "{text}");
    let stats = fixture.backend.stats.clone();
    until("the backend to notice", || {
        stats.cancelled.load(Ordering::Relaxed) == 1
    })
    .await;
    let answer = fixture
        .call(&format!("{ECHO}Unary"), &[A, ("grpc-timeout", "20S")], b"")
        .await;
    let told = answer
        .headers
        .get("saw-grpc-timeout")
        .expect("passed on")
        .to_str()
        .expect("text")
        .to_owned();
    let micros: u64 = told.trim_end_matches('u').parse().expect("microseconds");
    assert!(
        (1..=20_000_000).contains(&micros),
        "what is left is passed on: {told}"
    );
    assert_eq!(
        fixture
            .failure(&format!("{ECHO}Unary"), &[A, ("grpc-timeout", "soon")], b"")
            .await
            .0,
        3
    );
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_by_its_prefix() {
    let fixture = fixture(Settings::default()).await;
    let mut call = fixture
        .client
        .open(&format!("{ECHO}ClientStream"), &[A])
        .await
        .expect("opened");
    let length = u32::try_from(LIMIT + 1).expect("fits").to_be_bytes();
    // Only the prefix: the refusal does not wait for the message.
    call.send
        .send_data(Bytes::from([&[0][..], &length].concat()), false)
        .expect("sent");
    let answer = tokio::time::timeout(PATIENCE, call.finish())
        .await
        .expect("no hang")
        .expect("answered");
    assert_eq!(answer.code().expect("status"), 8, "{}", answer.message());
    assert!(answer.message().contains("1048577"), "{}", answer.message());
}

/// Starts `calls` of `ServerStream` whose answers nobody reads yet.
async fn unread(
    fixture: &Fixture,
    calls: usize,
    message: &[u8],
    count: &str,
) -> (Client, Vec<h2::RecvStream>) {
    let client = Client::connect_with_window(fixture.router_addr, 64 << 10)
        .await
        .expect("connects");
    let mut bodies = Vec::new();
    for _ in 0..calls {
        let path = format!("{ECHO}ServerStream");
        let mut call = client
            .open(&path, &[A, ("x-count", count)])
            .await
            .expect("opened");
        call.message(message, true).await.expect("sent");
        bodies.push(call.head().await.expect("answered").1);
    }
    (client, bodies)
}

#[tokio::test]
async fn slow_readers_hold_up_only_themselves() {
    let fixture = fixture(Settings::default()).await;
    let (_client, mut bodies) = unread(&fixture, 20, &[7; 16 << 10], "100").await;
    for _ in 0..100 {
        let message = vec![7; 64 << 10];
        let answer = fixture.call(&format!("{ECHO}Unary"), &[A], &message).await;
        assert_eq!(answer.messages, [message], "{}", answer.message());
    }
    for body in &mut bodies {
        assert_eq!(read(body).await, 100 * (5 + (16 << 10)));
    }
}

#[tokio::test]
async fn many_small_messages_wait_for_a_slow_reader() {
    let fixture = fixture(Settings::default()).await;
    let (_client, mut bodies) = unread(&fixture, 1, b"t", "50000").await;
    for _ in 0..200 {
        let answer = fixture.call(&format!("{ECHO}Unary"), &[A], b"between").await;
        assert_eq!(answer.messages, ["between"], "{}", answer.message());
    }
    assert_eq!(read(bodies.first_mut().expect("one")).await, 50_000 * 6);
}

/// Reads an answer to its end, which must be a good one; gives its length.
async fn read(body: &mut h2::RecvStream) -> usize {
    let mut length = 0;
    while let Some(chunk) = body.data().await {
        let chunk = chunk.expect("received");
        length += chunk.len();
        body.flow_control().release_capacity(chunk.len()).expect("held");
    }
    let trailers = body.trailers().await.expect("received").expect("a status");
    assert_eq!(trailers.get("grpc-status").expect("status"), "0", "{trailers:?}");
    length
}

#[tokio::test]
async fn a_stream_serves_one_model() {
    let fixture = fixture(Settings::default()).await;
    let request = |model: &str| {
        ModelInferRequest {
            model_name: model.into(),
            ..Default::default()
        }
        .encode_to_vec()
    };
    let mut call = fixture
        .client
        .open(MODEL_STREAM_INFER, &[])
        .await
        .expect("opened");
    call.message(&request("a"), false).await.expect("sent");
    call.message(&request("b"), true).await.expect("sent");
    let answer = call.finish().await.expect("answered");
    assert_eq!(answer.code().expect("status"), 3, "{}", answer.message());
    assert!(
        answer.message().contains("a stream serves one model"),
        "{}",
        answer.message()
    );
}

#[tokio::test]
async fn a_slow_client_holds_up_only_itself() {
    let fixture = fixture(Settings::default()).await;
    // Opens calls and never sends a message: each holds a stream, none a thread.
    let mut idle = Vec::new();
    for _ in 0..50 {
        idle.push(
            fixture
                .client
                .open(&format!("{ECHO}Unary"), &[A])
                .await
                .expect("opened"),
        );
    }
    let unary = format!("{ECHO}Unary");
    let quick = fixture.call(&unary, &[A], b"quick");
    let answer = tokio::time::timeout(Duration::from_secs(20), quick)
        .await
        .expect("not held up");
    assert_eq!(answer.messages, ["quick"]);
}
