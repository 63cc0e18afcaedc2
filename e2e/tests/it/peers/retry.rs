//! When another router does not take a call, or is not there: who is asked next, and when nobody is.

use std::{sync::atomic::Ordering, time::Duration};

use api::names::methods::MODEL_METADATA;
use router::{
    mesh::hop::Mode,
    peer::{PeerOptions, Refusal},
    upstream::Pings,
};

use super::{
    A, Place, Settings,
    impostor::{Impostor, Manner},
    nodes, text, until,
};

const SAFE: (&str, &str) = ("stowage-retry", "safe");

#[tokio::test]
async fn a_refused_call_goes_to_another_copy() {
    let [here, refuses, serves] = nodes(Settings::default()).await;
    here.goes("a", &[Place::There(1, Mode::Hit), Place::There(2, Mode::Hit)]);
    // Both kinds of bodies: one that is here at once, and one that arrives while the call is on its way.
    let large = vec![3; 3 << 20];
    for refusal in Refusal::ALL {
        refuses.goes("a", &[Place::Refuse(refusal)]);
        for message in [&b"small"[..], &large] {
            let answer = here.call("Unary", &[A], message).await;
            assert_eq!(answer.code().expect("status"), 0, "{refusal}: {}", text(&answer));
            assert!(answer.messages[0] == message);
        }
    }
    assert_eq!([here.calls(), refuses.calls(), serves.calls()], [0, 0, 14]);
    assert!(!here.peers.load(1).ejected, "who answers is alive");
}

#[tokio::test]
async fn what_the_last_one_said_is_the_answer_where_nobody_takes_the_call() {
    let [here, first, second] = nodes(Settings::default()).await;
    here.goes("a", &[Place::There(1, Mode::Hit), Place::There(2, Mode::Load)]);
    first.goes("a", &[Place::Refuse(Refusal::NotHere)]);
    second.goes("a", &[Place::Refuse(Refusal::NoRoom)]);
    let answer = here.call("Unary", &[A], b"m").await;
    assert_eq!(
        (answer.code().expect("status"), &*text(&answer)),
        (14, "refused: no-room")
    );
    assert!(
        !answer.headers.contains_key("stowage-refused"),
        "that is between routers"
    );
    // A model that the other router never heard of.
    second.goes("a", &[]);
    assert_eq!(here.failure("Unary", &[A], b"m").await.0, 5);
}

#[tokio::test]
async fn a_request_that_was_not_kept_is_not_repeated() {
    let settings = Settings {
        replay_budget: 0,
        ..Settings::default()
    };
    let [here, refuses, serves] = nodes(settings).await;
    here.goes("a", &[Place::There(1, Mode::Hit), Place::There(2, Mode::Hit)]);
    refuses.goes("a", &[Place::Refuse(Refusal::NotHere)]);
    assert_eq!(
        here.failure("Unary", &[A], b"m").await,
        (14, "refused: not-here".into())
    );
    assert_eq!(serves.calls(), 0);
}

#[tokio::test]
async fn what_may_have_been_executed_is_repeated_only_when_that_is_safe() {
    for manner in [Manner::HangUp, Manner::Reset] {
        let impostor = Impostor::start(manner).await;
        let [here, serves] = nodes(Settings::default()).await;
        here.knows(7, impostor.addr);
        here.goes("a", &[Place::There(7, Mode::Hit), Place::There(1, Mode::Hit)]);
        let (code, said) = here.failure("Unary", &[A], b"m").await;
        assert_eq!(code, 14, "{manner:?}: {said}");
        assert!(said.contains("router node-7"), "{said}");
        assert_eq!((impostor.calls.load(Ordering::Relaxed), serves.calls()), (1, 0));
        let answer = here.call("Unary", &[A, SAFE], b"m").await;
        assert_eq!(answer.messages, ["m"], "{manner:?}: {}", text(&answer));
        assert!(!answer.headers.contains_key("saw-stowage-retry"));
        // Methods that only read are safe by themselves.
        let read = here
            .client()
            .unary(MODEL_METADATA, &[A], b"")
            .await
            .expect("answered");
        assert_eq!(read.code().expect("status"), 0, "{}", text(&read));
        assert_eq!(serves.calls(), 2);
    }
}

#[tokio::test]
async fn what_was_certainly_not_executed_goes_elsewhere() {
    for manner in [Manner::Refuse, Manner::GoAway] {
        let impostor = Impostor::start(manner).await;
        let [here, serves] = nodes(Settings::default()).await;
        here.knows(7, impostor.addr);
        here.goes("a", &[Place::There(7, Mode::Hit), Place::There(1, Mode::Hit)]);
        for i in 0..10 {
            let answer = here.call("Unary", &[A], b"m").await;
            assert_eq!(answer.messages, ["m"], "{manner:?} {i}: {}", text(&answer));
        }
        assert_eq!(serves.calls(), 10);
    }
}

#[tokio::test]
async fn a_router_that_is_gone_is_left_alone_and_found_again() {
    let [here, serves] = nodes(Settings::default()).await;
    // A port that nobody listens on.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let addr = gone.local_addr().expect("bound");
    drop(gone);
    here.knows(7, addr);
    here.goes("a", &[Place::There(7, Mode::Hit), Place::There(1, Mode::Hit)]);
    for i in 0..3 {
        assert!(!here.peers.load(7).ejected);
        let answer = here.call("Unary", &[A], b"m").await;
        assert_eq!(answer.messages, ["m"], "{i}: {}", text(&answer));
    }
    assert!(here.peers.load(7).ejected, "three times in a row is enough");
    assert_eq!(serves.calls(), 3);
    // The mesh asks it last, when there is no other.
    here.goes("a", &[Place::There(7, Mode::Hit)]);
    let (code, said) = here.failure("Unary", &[A], b"m").await;
    assert_eq!(code, 14, "{said}");
    assert!(said.contains("no connection to router node-7"), "{said}");

    until("the time to be over", || !here.peers.load(7).ejected).await;
    // It is back, at the same address: here another router's listener takes its place.
    let back = tokio::net::TcpListener::bind(addr).await.expect("still free");
    let to = serves.routers;
    tokio::spawn(async move {
        loop {
            let (mut near, _) = back.accept().await.expect("accepts");
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(to).await.expect("connects");
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    let back = async {
        while here.call("Unary", &[A], b"m").await.code().expect("status") != 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(super::PATIENCE, back)
        .await
        .expect("found again");
    assert!(!here.peers.load(7).ejected);
}

#[tokio::test]
async fn a_frozen_router_is_noticed() {
    let impostor = Impostor::start(Manner::Freeze).await;
    let moment = Duration::from_millis(50);
    let settings = Settings {
        peers: PeerOptions {
            pings: Pings {
                interval: moment,
                timeout: moment,
            },
            ..PeerOptions::default()
        },
        ..Settings::default()
    };
    let [here, serves] = nodes(settings).await;
    here.knows(7, impostor.addr);
    here.goes("a", &[Place::There(7, Mode::Hit), Place::There(1, Mode::Hit)]);
    let (code, said) = here.failure("Unary", &[A], b"m").await;
    assert_eq!(code, 14, "{said}");
    assert_eq!(here.call("Unary", &[A, SAFE], b"m").await.messages, ["m"]);
    assert_eq!(serves.calls(), 1);
}

#[tokio::test]
async fn calls_never_go_in_a_circle() {
    let [first, second] = nodes(Settings::default()).await;
    for (there_and, back) in [
        (Mode::Hit, Mode::Hit),
        (Mode::Hit, Mode::Load),
        (Mode::Load, Mode::Load),
        (Mode::Load, Mode::Hit),
    ] {
        first.goes("a", &[Place::There(1, there_and)]);
        second.goes("a", &[Place::There(0, back)]);
        let (code, said) = first.failure("Unary", &[A], b"m").await;
        assert_eq!(code, 14, "{there_and:?} {back:?}: {said}");
        assert!(said.contains("a hop too many"), "{said}");
    }
    assert_eq!([first.calls(), second.calls()], [0, 0]);
}

#[tokio::test]
async fn a_call_has_eight_attempts() {
    let settings = Settings {
        stubborn: true,
        ..Settings::default()
    };
    let [here, refuses] = nodes(settings).await;
    here.goes("a", &[Place::There(1, Mode::Hit)]);
    refuses.goes("a", &[Place::Refuse(Refusal::Loading)]);
    assert_eq!(
        here.failure("Unary", &[A], b"m").await,
        (14, "refused: loading".into())
    );
    assert_eq!(here.table.asked.load(Ordering::Relaxed), 8);
}

#[tokio::test]
async fn repetitions_have_a_budget() {
    let [here, refuses, serves] = nodes(Settings::default()).await;
    here.goes("a", &[Place::There(1, Mode::Hit), Place::There(2, Mode::Hit)]);
    refuses.goes("a", &[Place::Refuse(Refusal::Overloaded)]);
    let calls = (0..1_000).map(|_| here.call("Unary", &[A], b"m"));
    let answers = futures::future::join_all(calls).await;
    let (good, bad): (Vec<_>, Vec<_>) = answers
        .iter()
        .partition(|answer| answer.code().expect("status") == 0);
    // A hundred that were saved up, and ten in a second.
    assert!(good.len() >= 100, "{}", good.len());
    assert!(
        !bad.is_empty(),
        "a mesh that fails is not buried under repetitions"
    );
    assert_eq!(serves.calls(), good.len() as u64);
    for answer in bad {
        assert_eq!(answer.code().expect("status"), 14);
        assert!(
            text(answer).contains("too many calls are being repeated"),
            "{}",
            text(answer)
        );
    }
    // From then on a fifth of the calls pays for the others.
    let mut repeated = 0;
    for _ in 0..50 {
        let answer = here.call("Unary", &[A], b"m").await;
        repeated += usize::from(answer.code().expect("status") == 0);
    }
    assert!(repeated >= 10, "{repeated}");
}

#[tokio::test]
async fn a_model_server_that_is_gone_here_may_be_there_elsewhere() {
    let [mut here, there] = nodes(Settings::default()).await;
    assert_eq!(here.call("Unary", &[A], b"m").await.messages, ["m"]);
    here.goes("a", &[Place::Here, Place::There(1, Mode::Hit)]);
    let addr = here.backend.addr;
    let other = e2e::backend::Backend::start(e2e::backend::Options::default())
        .await
        .expect("starts");
    drop(std::mem::replace(&mut here.backend, other));
    until("the port to be closed", || {
        std::net::TcpStream::connect(addr).is_err()
    })
    .await;
    let answer = here.call("Unary", &[A], b"m").await;
    assert_eq!(answer.messages, ["m"], "{}", text(&answer));
    assert_eq!(there.calls(), 1);
}
