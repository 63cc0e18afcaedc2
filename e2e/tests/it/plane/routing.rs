//! Which model a call reaches, and what the runtime sees of it.

use std::io::Write as _;

use api::{
    inference::ModelInferRequest,
    mmesh::{SetVModelRequest, runtime_status_response::MethodInfo},
    names::methods::{MODEL_INFER, MODEL_STREAM_INFER},
};
use e2e::backend::Options;
use prost::Message as _;
use router::rules::Rules;

use super::{ECHO, Settings, fixture};

fn request(model: &str) -> Vec<u8> {
    let raw = vec![vec![7; 40].into()];
    ModelInferRequest {
        model_name: model.into(),
        raw_input_contents: raw,
        ..Default::default()
    }
    .encode_to_vec()
}

fn named(message: &[u8]) -> String {
    ModelInferRequest::decode(message).expect("decodes").model_name
}

/// A backend that wants the concrete id at field 1 of `ModelInfer`.
fn injecting() -> Settings {
    let mut backend = Options::default();
    backend.status.allow_any_method = false;
    let info = MethodInfo {
        id_injection_path: vec![1],
    };
    for method in [MODEL_INFER, MODEL_STREAM_INFER] {
        backend
            .status
            .method_infos
            .insert(method.trim_start_matches('/').into(), info.clone());
    }
    Settings {
        backend,
        ..Settings::default()
    }
}

#[tokio::test]
async fn headers_name_the_model_and_the_runtime_sees_the_concrete_id() {
    let fixture = fixture(Settings::default()).await;
    for (header, value) in [
        ("mm-model-id", "a"),
        ("mm-model-id-bin", "YQ"),
        ("mm-vmodel-id", "v"),
        ("tas-model-id", "a"),
    ] {
        let metadata = [
            (header, value),
            ("mm-balanced", "true"),
            ("authorization", "secret"),
            ("x-own", "kept"),
            ("x-request-id", "r-7"),
        ];
        let answer = fixture
            .call(&format!("{ECHO}Unary"), &metadata, b"any bytes")
            .await;
        assert_eq!(answer.code().expect("status"), 0, "{header}");
        assert_eq!(answer.messages, ["any bytes"], "{header}");
        let saw = |name: &str| {
            answer
                .headers
                .get(format!("saw-{name}"))
                .map(|v| v.to_str().expect("text"))
        };
        assert_eq!(saw("mm-model-id"), Some("a"), "{header}");
        assert_eq!(saw("x-request-id"), Some("r-7"), "{header}");
        assert_eq!(saw("mm-model-id-bin"), Some("YQ"), "{header}");
        assert_eq!(
            (saw("mm-vmodel-id"), saw("mm-balanced"), saw("tas-model-id")),
            (None, None, None),
            "{header}"
        );
        assert_eq!(
            (saw("authorization"), saw("x-own")),
            (Some("secret"), Some("kept"))
        );
        assert_eq!(answer.trailers.get("x-trailer").expect("passed"), "last");
    }
    assert_eq!(
        fixture
            .backend
            .stats
            .loads
            .load(std::sync::atomic::Ordering::Relaxed),
        1,
        "loaded once"
    );
}

#[tokio::test]
async fn v2_messages_name_the_model_themselves() {
    let fixture = fixture(Settings::default()).await;
    for name in ["a", "v"] {
        let answer = fixture.call(MODEL_INFER, &[], &request(name)).await;
        assert_eq!(
            (answer.code().expect("status"), named(&answer.messages[0])),
            (0, name.into())
        );
    }
    assert_eq!(
        fixture.failure(MODEL_INFER, &[], &request("none")).await,
        (5, "model not found".into())
    );
    let header = fixture
        .call(MODEL_INFER, &[("mm-model-id", "b")], &request("none"))
        .await;
    assert_eq!(
        header.code().expect("status"),
        0,
        "a header is the more explicit word"
    );
}

#[tokio::test]
async fn the_concrete_id_is_spliced_in_where_the_runtime_wants_it() {
    let fixture = fixture(injecting()).await;
    let answer = fixture.call(MODEL_INFER, &[], &request("v")).await;
    assert_eq!(answer.code().expect("status"), 0);
    assert_eq!(answer.messages[0], request("a"), "only the name has changed");
    let answer = fixture
        .call(MODEL_INFER, &[("mm-model-id", "b")], &request(""))
        .await;
    assert_eq!(named(&answer.messages[0]), "b", "a missing id is added");
    let (code, text) = fixture
        .failure(&format!("{ECHO}Unary"), &[("mm-model-id", "a")], b"")
        .await;
    assert_eq!(code, 12, "the runtime lists its methods: {text}");
    assert!(
        text.contains("Method not found or not permitted: stowage.test.Echo/Unary"),
        "{text}"
    );
}

#[tokio::test]
async fn a_request_with_its_length_may_be_spliced() {
    let fixture = fixture(injecting()).await;
    let message = request("a vmodel with a name that is longer than the one of its model");
    let vmodel = SetVModelRequest {
        v_model_id: named(&message),
        target_model_id: "a".into(),
        ..Default::default()
    };
    fixture.mesh.set_vmodel(vmodel).await.expect("set");
    let length = (message.len() + 5).to_string();
    let answer = fixture
        .call(MODEL_INFER, &[("content-length", &length)], &message)
        .await;
    assert_eq!(answer.code().expect("status"), 0, "{}", answer.message());
    assert_eq!(named(&answer.messages[0]), "a");
}

#[tokio::test]
async fn a_compressed_message_gives_its_model_too() {
    let fixture = fixture(injecting()).await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&request("v")).expect("in memory");
    let packed = encoder.finish().expect("in memory");
    let mut call = fixture
        .client
        .open(MODEL_INFER, &[("grpc-encoding", "gzip")])
        .await
        .expect("opened");
    let mut framed = e2e::client::frame(&packed).to_vec();
    framed[0] = 1;
    call.send.send_data(framed.into(), true).expect("sent");
    let answer = call.finish().await.expect("answered");
    assert_eq!(answer.code().expect("status"), 0, "{}", answer.message());
    assert_eq!(named(&answer.messages[0]), "a");

    let mut call = fixture
        .client
        .open(MODEL_INFER, &[("grpc-encoding", "snappy")])
        .await
        .expect("opened");
    call.send
        .send_data(vec![1, 0, 0, 0, 1, 9].into(), true)
        .expect("sent");
    let answer = call.finish().await.expect("answered");
    assert_eq!(answer.code().expect("status"), 12);
    assert!(
        answer.message().contains("mm-model-id"),
        "says what to do: {}",
        answer.message()
    );
}

#[tokio::test]
async fn wrong_ids_are_told_apart() {
    let fixture = fixture(Settings::default()).await;
    let unary = format!("{ECHO}Unary");
    let failure = async |metadata: &[(&'static str, &str)]| fixture.failure(&unary, metadata, b"").await;
    let (code, text) = failure(&[]).await;
    assert_eq!((code, text.as_str()), (3, "must include mm-model-id header"));
    assert_eq!(failure(&[("mm-model-id", "a"), ("mm-vmodel-id", "v")]).await.0, 3);
    assert_eq!(failure(&[("mm-model-id", "")]).await.0, 3);
    assert_eq!(failure(&[("mm-model-id-bin", "*")]).await.0, 3);
    assert_eq!(
        failure(&[("mm-model-id", "none")]).await,
        (5, "model not found".into())
    );
    assert_eq!(
        failure(&[("mm-vmodel-id", "none")]).await,
        (5, "vmodel not found".into())
    );
    assert_eq!(
        failure(&[("mm-model-id", "v")]).await.0,
        5,
        "a vmodel is no model"
    );
    let runtime = fixture
        .failure("/mmesh.ModelRuntime/unloadModel", &[("mm-model-id", "a")], b"")
        .await;
    assert_eq!(runtime.0, 12, "the runtime's own interface is not for clients");
}

#[tokio::test]
async fn nobody_reaches_the_runtimes_own_service() {
    let fixture = fixture(Settings::default()).await;
    for service in [
        "mmesh.ModelRuntime",
        "com.ibm.watson.tas.internal.proto.ModelServer",
    ] {
        let (code, text) = fixture
            .failure(&format!("/{service}/unloadModel"), &[("mm-model-id", "a")], b"")
            .await;
        assert_eq!(code, 12, "{text}");
    }
}

#[tokio::test]
async fn several_ids_merge_their_responses() {
    let fixture = fixture(Settings::default()).await;
    let unary = format!("{ECHO}Unary");
    let ids = [
        ("mm-model-id", "a"),
        ("mm-model-id", "none"),
        ("mm-model-id", "b"),
    ];
    let answer = fixture.call(&unary, &ids, b"xy").await;
    assert_eq!(
        (answer.code().expect("status"), &answer.messages[..]),
        (0, &["xyxy".into()][..])
    );
    let all = [&ids[..], &[("mm-required", "all")]].concat();
    assert_eq!(fixture.failure(&unary, &all, b"xy").await.0, 5);
    let none = [("mm-model-id", "x"), ("mm-model-id", "y")];
    let (code, text) = fixture.failure(&unary, &none, b"").await;
    assert_eq!(
        (code, text.as_str()),
        (5, "none of the requested models were found")
    );
}

#[tokio::test]
async fn configured_rules_decide_what_passes() {
    let rules = r#"{"rpcConfigs":{"stowage.test.Echo/Unary":{"idExtractionPath":[3,1],"vModelId":true}}}"#;
    let fixture = fixture(Settings {
        rules: Rules::from_json(rules).expect("valid"),
        ..Settings::default()
    })
    .await;
    let nested = [0x1a, 3, 0x0a, 1, b'v'];
    let answer = fixture
        .call(&format!("{ECHO}Unary"), &[("mm-model-id", "none")], &nested)
        .await;
    assert_eq!(answer.code().expect("status"), 0, "the message beats the header");
    assert_eq!(answer.headers.get("saw-mm-model-id").expect("concrete"), "a");
    assert_eq!(
        fixture
            .call(&format!("{ECHO}Unary"), &[("mm-vmodel-id", "v")], b"")
            .await
            .code()
            .expect("status"),
        0
    );
    assert_eq!(
        fixture
            .failure(&format!("{ECHO}Bidi"), &[("mm-model-id", "a")], b"")
            .await
            .0,
        12
    );
}
