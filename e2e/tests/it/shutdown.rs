//! SIGTERM: what is under way ends well, then the process does.

use std::path::Path;

use api::inference::{
    ModelInferRequest, grpc_inference_service_client::GrpcInferenceServiceClient,
    model_infer_request::InferInputTensor,
};
use e2e::process::Process;
use tokio::net::TcpStream;

use crate::support::{
    SOON, answers, onnx, rest,
    stowage::{self, Addresses, Stowage},
};

/// A model that takes a while to be loaded.
pub(crate) const MODEL: &str = "heavy";

/// Writes it into a folder.
pub(crate) fn place_model(folder: &Path) {
    onnx::place(folder, &format!("{MODEL}.onnx"), &onnx::weighing(64));
}

async fn check<F>(ask: fn(Addresses) -> F)
where
    F: Future<Output = f64> + Send + 'static,
{
    let folder = stowage::models_folder();
    place_model(folder.path());
    let mut server = Stowage::start(folder.path(), "4GiB").await;
    check_answered(&mut server.process, &server.addresses, ask).await;
}

/// Ends a process while calls wait for the model that is being loaded.
pub(crate) async fn check_answered<F>(process: &mut Process, addresses: &Addresses, ask: fn(Addresses) -> F)
where
    F: Future<Output = f64> + Send + 'static,
{
    let calls: Vec<_> = (0..4).map(|_| tokio::spawn(ask(addresses.clone()))).collect();
    let row = stowage::wait_for_state(&addresses.grpc, MODEL, &["LOADING", "LOADED"]).await;
    assert_eq!(row.state, "LOADING", "the model is too small for this test");

    process.terminate().expect("the process can be signaled");
    for call in calls {
        let value = call.await.expect("the call is answered");
        assert!((value - 7.0).abs() < 1e-6, "{value}");
    }
    let status = process.wait(SOON).await.expect("the process ends");
    assert_eq!(status.code(), Some(0), "{}", process.output());
    assert!(TcpStream::connect(&addresses.rest).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn rest_calls_under_way_are_answered() {
    check(ask_rest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_calls_under_way_are_answered() {
    check(ask_grpc).await;
}

async fn ask_rest(addresses: Addresses) -> f64 {
    let answer = rest::infer(&addresses.rest, MODEL, onnx::request(7.0)).await;
    onnx::value(&answer.expect("the call is answered"))
}

pub(crate) async fn ask_grpc(addresses: Addresses) -> f64 {
    let mut client = GrpcInferenceServiceClient::connect(format!("http://{}", addresses.grpc))
        .await
        .expect("the server can be reached");
    let input = InferInputTensor {
        name: "x".to_owned(),
        datatype: "FP32".to_owned(),
        shape: vec![1, 1],
        ..InferInputTensor::default()
    };
    let call = ModelInferRequest {
        model_name: MODEL.to_owned(),
        inputs: vec![input],
        raw_input_contents: vec![7_f32.to_le_bytes().to_vec().into()],
        ..ModelInferRequest::default()
    };
    let answer = client
        .model_infer(call)
        .await
        .expect("the call is answered")
        .into_inner();
    let raw: [u8; 4] = answer.raw_output_contents[0][..].try_into().expect("one number");
    f64::from(f32::from_le_bytes(raw))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_ends_although_clients_are_connected() {
    let mut server = Stowage::examples().await;
    let mut connection = rest::Connection::open(server.rest())
        .await
        .expect("the server can be reached");
    let call = rest::request(
        http::Method::POST,
        "/v2/models/iris/infer",
        answers::request("iris"),
    );
    answers::check(
        "iris",
        &connection.send(call).await.expect("the server answers").json(),
    );
    let _grpc = GrpcInferenceServiceClient::connect(format!("http://{}", server.grpc()))
        .await
        .expect("the server can be reached");

    server.process.terminate().expect("the process can be signaled");
    let status = server.process.wait(SOON).await.expect("the process ends");
    assert_eq!(status.code(), Some(0), "{}", server.process.output());
}
