//! Health, metadata, configuration, statistics, repository.

use api::inference::{
    DataType, InferStatistics, MemoryUsage, ModelConfig, ModelConfigResponse, ModelInput,
    ModelMetadataRequest, ModelMetadataResponse, ModelOutput, ModelReadyRequest, ModelReadyResponse,
    ModelStatistics, ModelStatisticsResponse, RepositoryIndexRequest, RepositoryIndexResponse,
    RepositoryModelLoadRequest, RepositoryModelLoadResponse, RepositoryModelUnloadRequest,
    RepositoryModelUnloadResponse, ServerLiveResponse, ServerMetadataResponse, ServerReadyResponse,
    StatisticDuration, model_metadata_response::TensorMetadata, model_repository_parameter::ParameterChoice,
    repository_index_response::ModelIndex,
};
use serde_json::json;

use super::*;

const LIVE: &str = "/inference.GRPCInferenceService/ServerLive";
const READY: &str = "/inference.GRPCInferenceService/ServerReady";
const SERVER: &str = "/inference.GRPCInferenceService/ServerMetadata";
const MODEL_READY: &str = "/inference.GRPCInferenceService/ModelReady";
const CONFIG: &str = "/inference.GRPCInferenceService/ModelConfig";
const STATISTICS: &str = "/inference.GRPCInferenceService/ModelStatistics";
const INDEX: &str = "/inference.GRPCInferenceService/RepositoryIndex";
const LOAD: &str = "/inference.GRPCInferenceService/RepositoryModelLoad";
const UNLOAD: &str = "/inference.GRPCInferenceService/RepositoryModelUnload";

#[tokio::test]
async fn health_of_the_server() {
    for (answer, status) in [(true, StatusCode::OK), (false, StatusCode::BAD_REQUEST)] {
        let fake = Fake::default()
            .answers(LIVE, &ServerLiveResponse { live: answer })
            .answers(READY, &ServerReadyResponse { ready: answer });
        assert_eq!(
            get(&fake, "/v2/health/live").await,
            (status, json!({ "live": answer }))
        );
        assert_eq!(
            get(&fake, "/v2/health/ready").await,
            (status, json!({ "ready": answer }))
        );
    }
    for (answer, status, text) in [
        (true, StatusCode::OK, "alive"),
        (false, StatusCode::SERVICE_UNAVAILABLE, "not alive"),
    ] {
        let fake = Fake::default().answers(LIVE, &ServerLiveResponse { live: answer });
        assert_eq!(get(&fake, "/").await, (status, json!({ "status": text })));
    }
}

#[tokio::test]
async fn server_metadata() {
    let answer = ServerMetadataResponse {
        name: "stowage".to_owned(),
        version: "1".to_owned(),
        extensions: vec!["binary_tensor_data".to_owned()],
    };
    let fake = Fake::default().answers(SERVER, &answer);
    let expected = json!({ "name": "stowage", "version": "1", "extensions": ["binary_tensor_data"] });
    assert_eq!(get(&fake, "/v2").await, (StatusCode::OK, expected));
}

#[tokio::test]
async fn readiness_of_a_model() {
    for (path, version, not_ready) in [
        ("/v2/models/m/ready", "", StatusCode::BAD_REQUEST),
        ("/v2/models/m/versions/4/ready", "4", StatusCode::BAD_REQUEST),
        ("/v1/models/m", "", StatusCode::SERVICE_UNAVAILABLE),
    ] {
        for (ready, status) in [(true, StatusCode::OK), (false, not_ready)] {
            let fake = Fake::default().answers(MODEL_READY, &ModelReadyResponse { ready });
            assert_eq!(
                get(&fake, path).await,
                (status, json!({ "name": "m", "ready": ready })),
                "{path}"
            );
            let (_, asked) = fake.only::<ModelReadyRequest>(MODEL_READY);
            assert_eq!((asked.name.as_str(), asked.version.as_str()), ("m", version));
        }
    }
    let fake = Fake::default().fails(MODEL_READY, Status::not_found("model not found"));
    check_error(get(&fake, "/v2/models/m/ready").await, 404, 5, "model not found");
}

/// Upstream wrote the shape as strings.
#[tokio::test]
async fn shapes_of_model_metadata_are_numbers() {
    let tensor = |name: &str, shape: &[i64]| TensorMetadata {
        name: name.to_owned(),
        datatype: "FP32".to_owned(),
        shape: shape.to_vec(),
    };
    let answer = ModelMetadataResponse {
        name: "m".to_owned(),
        versions: vec!["1".to_owned()],
        platform: "onnx_onnxv1".to_owned(),
        inputs: vec![tensor("x", &[-1, 64])],
        outputs: vec![tensor("y", &[])],
    };
    let fake = Fake::default().answers(METADATA, &answer);
    let expected = json!({
        "name": "m",
        "versions": ["1"],
        "platform": "onnx_onnxv1",
        "inputs": [{ "name": "x", "datatype": "FP32", "shape": [-1, 64] }],
        "outputs": [{ "name": "y", "datatype": "FP32", "shape": [] }],
    });
    assert_eq!(
        get(&fake, "/v2/models/a%2Fm/versions/1").await,
        (StatusCode::OK, expected)
    );
    let (_, asked) = fake.only::<ModelMetadataRequest>(METADATA);
    assert_eq!((asked.name.as_str(), asked.version.as_str()), ("a/m", "1"));
}

/// Field 6 is a map of strings in one model server and of messages in another.
#[tokio::test]
async fn model_metadata_of_other_servers_is_understood() {
    let mut message = ModelMetadataResponse {
        name: "m".to_owned(),
        ..ModelMetadataResponse::default()
    }
    .encode_to_vec();
    // Field 6: an entry whose value is not UTF-8.
    message.extend_from_slice(&[0x32, 0x06, 0x0a, 0x01, b'k', 0x12, 0x01, 0xff]);
    let fake = Fake::default().set(METADATA, Ok((HeaderMap::new(), message.into())));
    let (status, body) = get(&fake, "/v2/models/m").await;
    assert_eq!((status, &body["name"]), (StatusCode::OK, &json!("m")));
}

#[tokio::test]
async fn model_configuration() {
    let config = ModelConfig {
        name: "m".to_owned(),
        backend: "onnxruntime".to_owned(),
        max_batch_size: 8,
        input: vec![ModelInput {
            name: "x".to_owned(),
            data_type: DataType::TypeFp32.into(),
            dims: vec![-1, 4],
        }],
        output: vec![ModelOutput {
            name: "y".to_owned(),
            data_type: 99,
            dims: vec![1],
        }],
        ..ModelConfig::default()
    };
    let fake = Fake::default().answers(CONFIG, &ModelConfigResponse { config: Some(config) });
    let expected = json!({
        "name": "m",
        "platform": "",
        "backend": "onnxruntime",
        "max_batch_size": 8,
        "input": [{ "name": "x", "data_type": "TYPE_FP32", "dims": [-1, 4] }],
        "output": [{ "name": "y", "data_type": "TYPE_INVALID", "dims": [1] }],
    });
    assert_eq!(
        get(&fake, "/v2/models/m/config").await,
        (StatusCode::OK, expected)
    );
}

#[tokio::test]
async fn model_statistics() {
    let statistics = ModelStatistics {
        name: "m".to_owned(),
        version: "1".to_owned(),
        inference_count: 9_007_199_254_740_993,
        inference_stats: Some(InferStatistics {
            success: Some(StatisticDuration { count: 2, ns: 30 }),
            ..InferStatistics::default()
        }),
        memory_usage: vec![MemoryUsage {
            r#type: "CPU".to_owned(),
            id: 0,
            byte_size: 7,
        }],
        ..ModelStatistics::default()
    };
    let fake = Fake::default().answers(
        STATISTICS,
        &ModelStatisticsResponse {
            model_stats: vec![statistics],
        },
    );
    let (status, body) = get(&fake, "/v2/models/m/versions/1/stats").await;
    assert_eq!(status, StatusCode::OK);
    let model = &body["model_stats"][0];
    assert_eq!(model["inference_count"], 9_007_199_254_740_993_u64);
    assert_eq!(
        model["inference_stats"]["success"],
        json!({ "count": 2, "ns": 30 })
    );
    assert_eq!(
        model["inference_stats"]["cache_miss"],
        json!({ "count": 0, "ns": 0 })
    );
    assert_eq!(
        model["memory_usage"],
        json!([{ "type": "CPU", "id": 0, "byte_size": 7 }])
    );
}

#[tokio::test]
async fn repository_index() {
    let model = |name: &str, version: &str, state: &str, reason: &str| ModelIndex {
        name: name.to_owned(),
        version: version.to_owned(),
        state: state.to_owned(),
        reason: reason.to_owned(),
    };
    let index = RepositoryIndexResponse {
        models: vec![
            model("b", "2", "READY", ""),
            model("b", "1", "READY", ""),
            model("a", "", "UNAVAILABLE", "why"),
        ],
    };
    let fake = Fake::default().answers(INDEX, &index);
    let expected = json!([
        { "name": "b", "version": "2", "state": "READY", "reason": "" },
        { "name": "b", "version": "1", "state": "READY", "reason": "" },
        { "name": "a", "state": "UNAVAILABLE", "reason": "why" },
    ]);
    for (body, ready) in [
        ("", false),
        ("{}", false),
        (r#"{"ready":true}"#, true),
        (r#"{"ready":null}"#, false),
    ] {
        let fake = Fake {
            calls: Arc::default(),
            ..fake.clone()
        };
        assert_eq!(
            post(&fake, "/v2/repository/index", body).await,
            (StatusCode::OK, expected.clone())
        );
        assert_eq!(
            fake.only::<RepositoryIndexRequest>(INDEX).1.ready,
            ready,
            "{body}"
        );
    }
    check_error(
        post(&fake, "/v2/repository/index", "[").await,
        400,
        3,
        "the body is not as expected",
    );
    let listed = get(
        &Fake {
            calls: Arc::default(),
            ..fake
        },
        "/v1/models",
    )
    .await;
    assert_eq!(listed, (StatusCode::OK, json!({ "models": ["a", "b"] })));
}

#[tokio::test]
async fn repository_load_and_unload() {
    let fake = Fake::default().answers(LOAD, &RepositoryModelLoadResponse {});
    let body = r#"{"parameters":{"config":"{}","file:1/model.onnx":"AAE=","n":3,"b":true,"none":null}}"#;
    assert_eq!(
        post(&fake, "/v2/repository/models/m/load", body).await,
        (StatusCode::OK, json!({}))
    );
    let (_, load) = fake.only::<RepositoryModelLoadRequest>(LOAD);
    assert_eq!(load.model_name, "m");
    let choice = |name: &str| {
        load.parameters
            .get(name)
            .and_then(|parameter| parameter.parameter_choice.clone())
    };
    assert_eq!(
        choice("config"),
        Some(ParameterChoice::StringParam("{}".to_owned()))
    );
    assert_eq!(
        choice("file:1/model.onnx"),
        Some(ParameterChoice::BytesParam(vec![0, 1]))
    );
    assert_eq!(choice("n"), Some(ParameterChoice::Int64Param(3)));
    assert_eq!(choice("b"), Some(ParameterChoice::BoolParam(true)));
    assert_eq!(load.parameters.len(), 4);

    let fake = Fake::default().answers(UNLOAD, &RepositoryModelUnloadResponse {});
    let body = r#"{"parameters":{"unload_dependents":true}}"#;
    assert_eq!(
        post(&fake, "/v2/repository/models/m/unload", body).await,
        (StatusCode::OK, json!({}))
    );
    let (_, unload) = fake.only::<RepositoryModelUnloadRequest>(UNLOAD);
    assert!(unload.parameters.contains_key("unload_dependents"));

    for (body, message) in [
        (
            r#"{"parameters":{"x":[1]}}"#,
            "must be a bool, a string or a 64-bit integer",
        ),
        (
            r#"{"parameters":{"x":1.5}}"#,
            "must be a bool, a string or a 64-bit integer",
        ),
        (r#"{"parameters":{"file:x":"?"}}"#, "must be base64"),
        (r#"{"parameters":3}"#, "the body is not as expected"),
    ] {
        check_error(
            post(&fake, "/v2/repository/models/m/load", body).await,
            400,
            3,
            message,
        );
    }
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist() {
    let fake = Fake::default();
    check_error(get(&fake, "/v2/nothing").await, 404, 5, "no such path");
    check_error(post(&fake, "/v3", "").await, 404, 5, "no such path");
    check_error(get(&fake, "/v2/models/%ff").await, 400, 3, "not UTF-8");
    check_error(
        get(&fake, "/v2/models/m/infer").await,
        405,
        12,
        "this path takes POST",
    );
    let options = request(Method::OPTIONS, "/v2/models/m")
        .body(Body::empty())
        .expect("valid");
    let (status, headers, _) = send(fake.app(), options).await;
    assert_eq!(
        (status, headers["allow"].as_bytes()),
        (StatusCode::METHOD_NOT_ALLOWED, &b"GET, HEAD"[..])
    );
    assert!(fake.calls().is_empty());
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let fake = Fake::default().answers(LIVE, &ServerLiveResponse { live: true });
    let head = request(Method::HEAD, "/v2/health/live")
        .body(Body::empty())
        .expect("valid");
    let (status, headers, body) = send(fake.app(), head).await;
    assert_eq!((status, body), (StatusCode::OK, Bytes::new()));
    assert_eq!(headers["content-length"], "13");
}

#[tokio::test]
async fn every_grpc_code_has_its_http_status() {
    let expected = [
        (1, 499),
        (2, 500),
        (3, 400),
        (4, 504),
        (5, 404),
        (6, 409),
        (7, 403),
        (8, 429),
        (9, 400),
        (10, 409),
        (11, 400),
        (12, 501),
        (13, 500),
        (14, 503),
        (15, 500),
        (16, 401),
    ];
    for (code, http) in expected {
        let fake = Fake::default().fails(READY, Status::new(code.into(), "why \"so\""));
        check_error(get(&fake, "/v2/health/ready").await, http, code, "why \"so\"");
    }
}
