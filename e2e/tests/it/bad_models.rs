//! Models that cannot be served: each gets an error that says why, and the process keeps serving the others.

use std::fs;

use api::mmesh::{ModelInfo, RegisterModelRequest, model_mesh_client::ModelMeshClient};

use crate::support::{
    answers, onnx, rest,
    stowage::{self, Stowage},
};

/// Serves iris beside one model file, and gives the error that the file's model is answered with.
async fn error_of(content: &[u8], capacity: &str) -> String {
    let folder = stowage::models_folder();
    onnx::place(folder.path(), "bad.onnx", content);
    let mut server = Stowage::start(folder.path(), capacity).await;
    let text = check_refused(server.rest(), server.grpc(), "bad").await;
    server.check_alive().await;
    answers::check_still_serves(server.rest()).await;
    text
}

/// The error that a model is answered with that cannot be loaded.
pub(crate) async fn check_refused(rest: &str, grpc: &str, name: &str) -> String {
    let mut text = String::new();
    // The second time the failure is known; it must be told as well.
    for _ in 0..2 {
        let answer = rest::infer(rest, name, onnx::request(1.0))
            .await
            .expect("the server answers");
        assert!(
            !answer.status.is_success() && answer.status != 404,
            "{} {:?}",
            answer.status,
            answer.body
        );
        text = answer.error(answer.status);
    }
    let row = stowage::model_of(grpc, name).await;
    assert_eq!(row.state, "LOADING_FAILED");
    assert!(row.error.is_some_and(|error| !error.is_empty()));
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn corrupt_model() {
    let text = error_of(b"this is no model, whatever its name says", "1GiB").await;
    assert!(text.contains("ONNX"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_model() {
    error_of(b"", "1GiB").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_model() {
    let whole =
        fs::read(answers::folder().join("models/digits-cnn/model.onnx")).expect("the example is there");
    for part in [whole.len() / 3, whole.len() - 1] {
        error_of(&whole[..part], "1GiB").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unsupported_operator() {
    let text = error_of(&onnx::unsupported(), "1GiB").await;
    assert!(text.contains("Transmogrify"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn model_larger_than_capacity() {
    let text = error_of(&onnx::weighing(96), "64MiB").await;
    assert!(text.contains("67108864"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn external_data_is_missing() {
    let folder = stowage::models_folder();
    fs::create_dir(folder.path().join("digits")).expect("the temporary folder can be written");
    stowage::copy_example("digits/model.onnx", &folder.path().join("digits/model.onnx"));
    let mut server = Stowage::start(folder.path(), "1GiB").await;
    let answer = rest::infer(server.rest(), "digits", answers::request("digits"))
        .await
        .expect("the server answers");
    let text = answer.error(answer.status);
    assert!(
        !answer.status.is_success() && text.contains("weights.bin"),
        "{text}"
    );
    server.check_alive().await;
    answers::check_still_serves(server.rest()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn external_data_outside_the_folder() {
    let folder = stowage::models_folder();
    // The same length, so that no other byte of the file has to change.
    let mut model =
        fs::read(answers::folder().join("models/digits/model.onnx")).expect("the example is there");
    let (inside, outside) = (b"weights.bin", b"../../../ab");
    let starts: Vec<_> = (0..model.len())
        .filter(|&at| model[at..].starts_with(inside))
        .collect();
    assert!(!starts.is_empty());
    for at in starts {
        model[at..at + inside.len()].copy_from_slice(outside);
    }
    fs::create_dir(folder.path().join("digits")).expect("the temporary folder can be written");
    fs::write(folder.path().join("digits/model.onnx"), model).expect("the temporary folder can be written");
    let mut server = Stowage::start(folder.path(), "1GiB").await;
    let answer = rest::infer(server.rest(), "digits", answers::request("digits"))
        .await
        .expect("the server answers");
    assert!(!answer.status.is_success(), "{:?}", answer.body);
    server.check_alive().await;
    answers::check_still_serves(server.rest()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registered_paths_stay_inside_the_folder() {
    let outside = stowage::models_folder();
    let folder = stowage::models_folder();
    let mut server = Stowage::start(folder.path(), "1GiB").await;
    let mut client = ModelMeshClient::connect(format!("http://{}", server.grpc()))
        .await
        .expect("the server can be reached");
    let sibling = outside
        .path()
        .file_name()
        .expect("a folder has a name")
        .to_string_lossy();
    let absolute = outside.path().join("iris.onnx").display().to_string();
    let relative = format!("../{sibling}/iris.onnx");
    let winding = format!("iris.onnx/../../{sibling}/iris.onnx");
    for (number, path) in [absolute, relative, winding].into_iter().enumerate() {
        let id = format!("outside-{number}");
        let registered = client
            .register_model(RegisterModelRequest {
                model_id: id.clone(),
                model_info: Some(ModelInfo {
                    r#type: "onnx".to_owned(),
                    path: path.clone(),
                    key: String::new(),
                }),
                ..RegisterModelRequest::default()
            })
            .await;
        // Refused here or when it is loaded; served never.
        let answer = rest::infer(server.rest(), &id, answers::request("iris"))
            .await
            .expect("the server answers");
        assert!(
            !answer.status.is_success(),
            "{path}: {registered:?} {:?}",
            answer.body
        );
    }
    server.check_alive().await;
    answers::check_still_serves(server.rest()).await;
}
