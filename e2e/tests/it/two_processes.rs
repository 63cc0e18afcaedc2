//! `stowage-router` and `stowage-adapter onnx` as two processes, over TCP and a unix socket: the scenarios that `stowage`
//! is held to where router and runtime share a process.

use crate::{
    bad_input, bad_models, clients, eviction, shutdown,
    support::{
        answers, onnx,
        pair::{Link, Pair},
        stowage::{self, Addresses},
    },
};

async fn check_answers(link: Link) {
    let mut pair = Pair::examples(link).await;
    answers::check_all(pair.rest()).await;
    clients::check("triton_grpc.py", pair.grpc()).await;
    clients::check("triton_http.py", pair.rest()).await;
    clients::check("raw_grpc.py", pair.grpc()).await;
    bad_input::check_all(pair.rest()).await;
    pair.check_running();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_over_tcp() {
    check_answers(Link::Tcp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_over_a_unix_socket() {
    check_answers(Link::Unix).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_that_cannot_be_served() {
    let folder = stowage::models_folder();
    let bad = [
        ("corrupt", b"this is no model".to_vec(), "ONNX"),
        ("unsupported", onnx::unsupported(), "Transmogrify"),
        ("large", onnx::weighing(96), "67108864"),
    ];
    for (name, content, _) in &bad {
        onnx::place(folder.path(), &format!("{name}.onnx"), content);
    }
    let mut pair = Pair::start(Link::Unix, folder.path(), 64 << 20).await;
    pair.register("iris", "iris.onnx").await;
    for (name, _, word) in bad {
        pair.register(name, &format!("{name}.onnx")).await;
        let text = bad_models::check_refused(pair.rest(), pair.grpc(), name).await;
        assert!(text.contains(word), "{name}: {text}");
        pair.check_running();
    }
    answers::check_still_serves(pair.rest()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_models_answer_in_turn_with_memory_for_two() {
    let folder = stowage::models_folder();
    eviction::place_models(folder.path());
    let capacity = eviction::size_when_loaded(folder.path()).await * 5 / 2;
    let mut pair = Pair::start(Link::Tcp, folder.path(), capacity).await;
    for name in eviction::names() {
        pair.register(&name, &format!("{name}.onnx")).await;
    }
    eviction::check_turns(pair.rest(), pair.grpc(), capacity).await;
    pair.check_running();
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_under_way_are_answered_when_the_router_ends() {
    let folder = stowage::models_folder();
    shutdown::place_model(folder.path());
    let mut pair = Pair::start(Link::Unix, folder.path(), 4 << 30).await;
    pair.register(shutdown::MODEL, &format!("{}.onnx", shutdown::MODEL))
        .await;
    let addresses = Addresses {
        grpc: pair.grpc().to_owned(),
        rest: pair.rest().to_owned(),
        admin: String::new(),
    };
    shutdown::check_answered(&mut pair.router, &addresses, shutdown::ask_grpc).await;
}
