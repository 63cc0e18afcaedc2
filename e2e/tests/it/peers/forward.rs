//! Calls that another router serves are, to the client, as those that are served here.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use e2e::client::{Client, frame};
use http::{HeaderMap, HeaderValue};
use router::mesh::hop::Mode;

use super::{A, B, ECHO, LIMIT, Place, Settings, nodes, pair, text, until};

#[tokio::test]
async fn headers_bytes_and_trailers_pass() {
    let [here, there] = pair().await;
    let metadata = [
        A,
        ("x-custom", "kept"),
        ("authorization", "Bearer t"),
        ("stowage-from", "forged"),
    ];
    let answer = here.call("Unary", &metadata, b"message").await;
    assert_eq!(
        (answer.code().expect("status"), &*answer.messages[0]),
        (0, &b"message"[..])
    );
    assert_eq!(answer.trailers["x-trailer"], "last");
    for (name, value) in [
        ("saw-x-custom", "kept"),
        ("saw-authorization", "Bearer t"),
        ("saw-mm-model-id", "a"),
    ] {
        assert_eq!(answer.headers[name], value);
    }
    let of_routers = |map: &HeaderMap| {
        let names = map.keys().map(http::HeaderName::as_str);
        names
            .filter(|name| name.contains("stowage"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of_routers(&answer.headers),
        [""; 0],
        "neither the runtime nor the client sees them"
    );
    assert_eq!(of_routers(&answer.trailers), [""; 0]);
    assert_eq!((here.calls(), there.calls()), (0, 1));
    let load = here.peers.load(1);
    assert!(
        load.at_ms > 0 && load.in_flight >= 1,
        "it said how busy it is: {load:?}"
    );
    until("the call to be over", || here.peers.load(1).sent == 0).await;
    // By the name that points to the model, too.
    let answer = here.call("Unary", &[("mm-vmodel-id", "v")], b"m").await;
    assert_eq!(
        answer.headers["saw-mm-model-id"], "a",
        "the runtime knows the concrete model"
    );
    assert_eq!(there.calls(), 2);
}

#[tokio::test]
async fn all_kinds_of_streams_pass() {
    let [here, there] = pair().await;
    let mut call = here
        .client()
        .open(&format!("{ECHO}ClientStream"), &[A])
        .await
        .expect("opened");
    for (i, part) in ["one ", "two ", "three"].into_iter().enumerate() {
        call.message(part.as_bytes(), i == 2).await.expect("sent");
    }
    assert_eq!(call.finish().await.expect("answered").messages, ["one two three"]);
    let answer = here
        .call("ServerStream", &[A, ("x-count", "100")], b"again")
        .await;
    assert_eq!((answer.messages.len(), answer.code().expect("status")), (100, 0));

    // Each turn waits for the one before it.
    let mut call = here
        .client()
        .open(&format!("{ECHO}Bidi"), &[A])
        .await
        .expect("opened");
    call.message(b"turn 0", false).await.expect("sent");
    let other = here.client().open("/x/y", &[A]).await.expect("opened").send;
    let mut send = std::mem::replace(&mut call.send, other);
    let (_, mut body) = call.head().await.expect("the head comes before the request ends");
    for turn in 0..20 {
        let answer = body.data().await.expect("a turn").expect("received");
        assert_eq!(answer, frame(format!("turn {turn}").as_bytes()));
        let _ = body.flow_control().release_capacity(answer.len());
        send.send_data(frame(format!("turn {}", turn + 1).as_bytes()), turn == 19)
            .expect("sent");
    }
    assert!(there.calls() >= 3);
}

#[tokio::test]
async fn the_largest_messages_pass_and_larger_ones_do_not() {
    let [here, there] = pair().await;
    let large = vec![42; LIMIT];
    let answer = here.call("Unary", &[A], &large).await;
    assert_eq!(answer.code().expect("status"), 0, "{}", text(&answer));
    assert!(answer.messages[0] == large);
    assert_eq!(there.calls(), 1);
    // The prefix alone says that it is too large.
    let mut call = here
        .client()
        .open(&format!("{ECHO}Unary"), &[A])
        .await
        .expect("opened");
    let mut prefix = vec![0];
    prefix.extend_from_slice(&u32::try_from(LIMIT + 1).expect("small").to_be_bytes());
    call.send.send_data(prefix.into(), false).expect("sent");
    let answer = call.finish().await.expect("answered");
    assert_eq!(answer.code().expect("status"), 8, "{}", text(&answer));
    assert!(text(&answer).contains(&LIMIT.to_string()), "{}", text(&answer));
}

#[tokio::test]
async fn compressed_messages_are_left_alone() {
    let [here, _there] = pair().await;
    // Not even gzip: nobody on the way looks.
    let mut framed = vec![1, 0, 0, 0, 3];
    framed.extend_from_slice(b"zip");
    let metadata = [A, ("grpc-encoding", "gzip")];
    let mut call = here
        .client()
        .open(&format!("{ECHO}Unary"), &metadata)
        .await
        .expect("opened");
    call.send
        .send_data(Bytes::from(framed.clone()), true)
        .expect("sent");
    let (headers, mut body) = call.head().await.expect("answered");
    assert_eq!(headers["saw-grpc-encoding"], "gzip");
    assert_eq!(body.data().await.expect("data").expect("received"), framed);
}

#[tokio::test]
async fn statuses_and_details_are_those_of_the_model_server() {
    let [here, _there] = pair().await;
    let metadata = [
        A,
        ("x-code", "9"),
        ("x-message", "50 %25 of %C2%B5"),
        ("x-details-bin", "CAkSAm5v"),
    ];
    for method in ["Fail", "FailLate"] {
        let answer = here.call(method, &metadata, b"m").await;
        assert_eq!(answer.code().expect("status"), 9);
        assert_eq!(
            text(&answer),
            format!("stowage.test.Echo/{method}: FAILED_PRECONDITION: 50 % of \u{b5}"),
            "told once, by the router that serves"
        );
        assert_eq!(answer.trailers["grpc-status-details-bin"], "CAkSAm5v");
    }
    let (code, text) = here
        .failure("Fail", &[A, ("x-code", "14"), ("x-message", "busy")], b"")
        .await;
    assert_eq!(
        (code, &*text),
        (
            13,
            "ModelRuntime UNAVAILABLE: stowage.test.Echo/Fail: UNAVAILABLE: busy"
        )
    );
}

#[tokio::test]
async fn deadlines_cross_and_end_the_call_at_the_far_runtime() {
    let [here, there] = pair().await;
    let (code, text) = here.failure("Slow", &[A, ("grpc-timeout", "200m")], b"").await;
    assert_eq!(code, 4, "{text}");
    let stats = &there.backend.stats;
    until("the backend to notice", || {
        stats.cancelled.load(Ordering::Relaxed) == 1
    })
    .await;
    let answer = here.call("Unary", &[A, ("grpc-timeout", "20S")], b"").await;
    let told = answer.headers["saw-grpc-timeout"].to_str().expect("text");
    let micros: u64 = told.trim_end_matches('u').parse().expect("microseconds");
    assert!(
        (1..20_000_000).contains(&micros),
        "less than at the start: {told}"
    );
}

#[tokio::test]
async fn who_goes_away_ends_the_call_at_the_far_runtime() {
    let [here, there] = pair().await;
    let client = Client::connect(here.grpc).await.expect("connects");
    let stats = &there.backend.stats;
    let mut given_up = client.open(&format!("{ECHO}Slow"), &[A]).await.expect("opened");
    let mut cut_off = client.open(&format!("{ECHO}Slow"), &[A]).await.expect("opened");
    for call in [&mut given_up, &mut cut_off] {
        call.message(b"never answered", true).await.expect("sent");
    }
    until("the calls to arrive", || stats.calls.load(Ordering::Relaxed) == 2).await;
    assert_eq!(here.peers.load(1).sent, 2);
    drop(given_up);
    until("one to be given up", || {
        stats.cancelled.load(Ordering::Relaxed) == 1
    })
    .await;
    drop(client);
    until("both to be over", || stats.cancelled.load(Ordering::Relaxed) == 2).await;
    until("nothing to be in flight", || here.peers.load(1).sent == 0).await;
    drop(cut_off);
}

#[tokio::test]
async fn a_model_that_the_far_runtime_forgot_is_loaded_again_there() {
    let [here, there] = pair().await;
    assert_eq!(
        here.call("Unary", &[A], b"first").await.code().expect("status"),
        0
    );
    let stats = &there.backend.stats;
    stats.forgot.store(true, Ordering::Relaxed);
    let answer = here.call("Unary", &[A], b"again").await;
    assert_eq!(answer.messages, ["again"], "{}", text(&answer));
    assert_eq!(stats.loads.load(Ordering::Relaxed), 2);
    assert_eq!(
        here.table.asked.load(Ordering::Relaxed),
        2,
        "the first router heard nothing of it"
    );
}

#[tokio::test]
async fn one_call_to_models_here_and_there() {
    let [here, there] = pair().await;
    let answer = here.call("Unary", &[A, B, A], b"x").await;
    assert_eq!(answer.messages, ["xxx"], "{}", text(&answer));
    assert_eq!((here.calls(), there.calls()), (1, 2));
    here.goes("a", &[]);
    let answer = here.call("Unary", &[A, B], b"x").await;
    assert_eq!(answer.messages, ["x"], "one that nobody has is left out");
}

#[tokio::test]
async fn what_the_router_calls_itself_goes_there_too() {
    let [here, there] = pair().await;
    let mut metadata = HeaderMap::new();
    metadata.insert("mm-model-id", HeaderValue::from_static("a"));
    let path = format!("{ECHO}Unary");
    let unary = here
        .plane
        .unary(&path, metadata, Bytes::from_static(b"rest").into());
    let (_, message) = unary.await.expect("answered");
    assert_eq!(message.into_bytes(), "rest");
    assert_eq!((here.calls(), there.calls()), (0, 1));
}

#[tokio::test]
async fn a_load_may_go_one_hop_further() {
    let [first, second, third] = nodes(Settings::default()).await;
    first.goes("a", &[Place::There(1, Mode::Load)]);
    second.goes("a", &[Place::There(2, Mode::Hit)]);
    let answer = first.call("Unary", &[A], b"far").await;
    assert_eq!(answer.messages, ["far"], "{}", text(&answer));
    assert_eq!([first.calls(), second.calls(), third.calls()], [0, 0, 1]);
    // A load where there is nothing yet.
    first.goes("b", &[Place::There(1, Mode::Load)]);
    assert_eq!(first.call("Unary", &[B], b"near").await.messages, ["near"]);
    assert_eq!(second.backend.stats.loads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_slow_reader_holds_up_nobody_else() {
    let [here, there] = pair().await;
    // Takes a few bytes of each answer, and no more.
    let idle = Client::connect_with_window(here.grpc, 1 << 10)
        .await
        .expect("connects");
    let message = vec![7; 4 << 20];
    let mut stalled = Vec::new();
    for _ in 0..16 {
        let mut call = idle
            .open(&format!("{ECHO}ServerStream"), &[A])
            .await
            .expect("opened");
        call.message(&message, true).await.expect("sent");
        stalled.push(call.head().await.expect("the answer begins"));
    }
    for i in 0..20 {
        let answer = here.call("Unary", &[A], &vec![i; 1 << 20]).await;
        assert_eq!(answer.code().expect("status"), 0, "{}", text(&answer));
    }
    assert_eq!(there.calls(), 36);
    // And requests that the model server does not take, because its answers are not.
    let mut senders = Vec::new();
    for _ in 0..8 {
        let mut call = idle.open(&format!("{ECHO}Bidi"), &[A]).await.expect("opened");
        call.send.send_data(frame(&message), false).expect("queued");
        senders.push(call);
    }
    until("they to arrive", || there.calls() == 44).await;
    for i in 0..20 {
        let answer = here.call("Unary", &[A], &vec![i; 1 << 20]).await;
        assert_eq!(answer.code().expect("status"), 0, "{}", text(&answer));
    }
    drop((stalled, senders));
}

#[tokio::test]
async fn a_call_is_counted_where_it_is_made_and_where_it_runs() {
    let [here, there] = pair().await;
    here.call("Unary", &[("mm-vmodel-id", "v")], b"m").await;
    let ran =
        r#"modelmesh_invoke_model_milliseconds_count{method="_other",code="OK",modelId="a",vModelId="v"} 1"#;
    let ran = ran.replace("_other", "Unary");
    until("the far call to be counted", || there.scrape().contains(&ran)).await;
    let made = "modelmesh_api_request_milliseconds_count";
    until("the call to be counted", || here.counted(made) == 1).await;
    // A series may be there; nothing may be counted in it.
    assert_eq!(here.counted("modelmesh_invoke_model_milliseconds_count"), 0);
    assert_eq!(there.counted(made), 0);
}
