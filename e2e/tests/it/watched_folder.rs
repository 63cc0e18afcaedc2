//! The models folder is followed without a restart, and no request fails on the way.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use api::inference::{
    ModelInferRequest, grpc_inference_service_client::GrpcInferenceServiceClient,
    model_infer_request::InferInputTensor,
};
use e2e::process;
use tokio::task::JoinSet;

use crate::support::{
    SOON, answers, onnx, rest,
    stowage::{self, Stowage},
};

/// Waits until a REST path is answered with this status.
async fn wait_for_status(server: &Stowage, path: &str, status: u16) {
    let what = format!("{path} to be answered with {status}");
    process::eventually(&what, SOON, async || {
        let answer = rest::get(server.rest(), path).await?;
        Ok((answer.status == status).then_some(()))
    })
    .await
    .expect("the folder is followed");
}

/// Waits until `x = 0` gives this number.
async fn wait_for_value(server: &Stowage, path: &str, wanted: f64) {
    let what = format!("{path} to answer {wanted}");
    process::eventually(&what, SOON, async || {
        let answer = rest::post(server.rest(), path, onnx::request(0.0)).await?;
        Ok((answer.status == 200 && (onnx::value(&answer) - wanted).abs() < 1e-6).then_some(()))
    })
    .await
    .expect("the folder is followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_and_removed_models() {
    let folder = stowage::models_folder();
    let mut server = Stowage::start(folder.path(), "1GiB").await;
    wait_for_status(&server, "/v2/models/added", 404).await;

    onnx::place(folder.path(), "added.onnx", &onnx::adds(1.0));
    wait_for_status(&server, "/v2/models/added", 200).await;
    wait_for_value(&server, "/v2/models/added/infer", 1.0).await;

    fs::create_dir(folder.path().join("nested")).expect("the folder can be written");
    onnx::place(&folder.path().join("nested"), "model.onnx", &onnx::adds(2.0));
    wait_for_status(&server, "/v2/models/nested", 200).await;
    wait_for_value(&server, "/v2/models/nested/infer", 2.0).await;

    fs::remove_file(folder.path().join("added.onnx")).expect("the folder can be written");
    fs::remove_dir_all(folder.path().join("nested")).expect("the folder can be written");
    wait_for_status(&server, "/v2/models/added", 404).await;
    wait_for_status(&server, "/v2/models/nested", 404).await;
    server.check_alive().await;
    answers::check_still_serves(server.rest()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_comes_back() {
    let folder = stowage::models_folder();
    let server = Stowage::start(folder.path(), "1GiB").await;
    for constant in [1.0_f32, 2.0, 1.0] {
        onnx::place(folder.path(), "m.onnx", &onnx::adds(constant));
        wait_for_value(&server, "/v2/models/m/infer", f64::from(constant)).await;
        fs::remove_file(folder.path().join("m.onnx")).expect("the folder can be written");
        wait_for_status(&server, "/v2/models/m", 404).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_side_by_side() {
    let folder = stowage::models_folder();
    let version = |number: &str| {
        let path = folder.path().join("m").join(number);
        fs::create_dir_all(&path).expect("the folder can be written");
        path
    };
    onnx::place(&version("1"), "model.onnx", &onnx::adds(1.0));
    onnx::place(&version("9"), "model.onnx", &onnx::adds(9.0));
    let server = Stowage::start(folder.path(), "1GiB").await;
    wait_for_value(&server, "/v2/models/m/infer", 9.0).await;
    wait_for_value(&server, "/v2/models/m/versions/1/infer", 1.0).await;

    // Higher by number, lower by text.
    onnx::place(&version("10"), "model.onnx", &onnx::adds(10.0));
    wait_for_value(&server, "/v2/models/m/infer", 10.0).await;
    wait_for_value(&server, "/v2/models/m/versions/9/infer", 9.0).await;

    fs::remove_dir_all(folder.path().join("m/10")).expect("the folder can be written");
    wait_for_value(&server, "/v2/models/m/infer", 9.0).await;
    wait_for_status(&server, "/v2/models/m/versions/10", 404).await;
}

/// Asks for `x = 0` without pause over REST until told to stop; how often, and that answers never go backward.
async fn ask_rest(address: String, stop: Arc<AtomicBool>) -> usize {
    let mut asked = 0;
    let mut last = 0.0;
    while !stop.load(Ordering::Relaxed) {
        let answer = rest::infer(&address, "m", onnx::request(0.0))
            .await
            .expect("the server answers");
        let value = onnx::value(&answer);
        assert!(value >= last, "{value} after {last}");
        last = value;
        asked += 1;
    }
    asked
}

/// The same over gRPC.
async fn ask_grpc(address: String, stop: Arc<AtomicBool>) -> usize {
    let mut client = GrpcInferenceServiceClient::connect(format!("http://{address}"))
        .await
        .expect("the server can be reached");
    let mut asked = 0;
    let mut last = 0.0;
    while !stop.load(Ordering::Relaxed) {
        let input = InferInputTensor {
            name: "x".to_owned(),
            datatype: "FP32".to_owned(),
            shape: vec![1, 1],
            ..InferInputTensor::default()
        };
        let call = ModelInferRequest {
            model_name: "m".to_owned(),
            inputs: vec![input],
            raw_input_contents: vec![vec![0; 4].into()],
            ..ModelInferRequest::default()
        };
        let answer = client
            .model_infer(call)
            .await
            .expect("the server answers")
            .into_inner();
        let raw: [u8; 4] = answer.raw_output_contents[0][..].try_into().expect("one number");
        let value = f32::from_le_bytes(raw);
        assert!(value >= last, "{value} after {last}");
        last = value;
        asked += 1;
    }
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_a_model_changes_under_load() {
    let folder = stowage::models_folder();
    onnx::place(folder.path(), "m.onnx", &onnx::adds(1.0));
    let mut server = Stowage::start(folder.path(), "1GiB").await;
    wait_for_value(&server, "/v2/models/m/infer", 1.0).await;

    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..2 {
        callers.spawn(ask_rest(server.rest().to_owned(), Arc::clone(&stop)));
        callers.spawn(ask_grpc(server.grpc().to_owned(), Arc::clone(&stop)));
    }
    for constant in 2_u8..=6 {
        onnx::place(folder.path(), "m.onnx", &onnx::adds(f32::from(constant)));
        wait_for_value(&server, "/v2/models/m/infer", f64::from(constant)).await;
        if let Some(ended) = callers.try_join_next() {
            panic!("a caller ended early: {ended:?}");
        }
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(asked) = callers.join_next().await {
        assert!(asked.expect("every call was answered, and in order") > 0);
    }
    server.check_alive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_does_not_replace_a_model_in_use() {
    let folder = stowage::models_folder();
    onnx::place(folder.path(), "m.onnx", &onnx::adds(1.0));
    let mut server = Stowage::start(folder.path(), "1GiB").await;
    wait_for_value(&server, "/v2/models/m/infer", 1.0).await;
    onnx::place(folder.path(), "m.onnx", b"no model at all");
    process::eventually("the error to be shown", SOON, async || {
        let answer = rest::infer(server.rest(), "m", onnx::request(0.0)).await?;
        assert!((onnx::value(&answer) - 1.0).abs() < 1e-6);
        Ok(server.model("m").await.error)
    })
    .await
    .expect("stowage models shows what is wrong with the new file");
    onnx::place(folder.path(), "m.onnx", &onnx::adds(3.0));
    wait_for_value(&server, "/v2/models/m/infer", 3.0).await;
    server.check_alive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_and_foreign_files_are_left_alone() {
    let folder = stowage::models_folder();
    for name in ["part.onnx.tmp", ".hidden.onnx", "notes.txt", "half.onnx.part"] {
        fs::write(folder.path().join(name), onnx::adds(1.0)).expect("the folder can be written");
    }
    let server = Stowage::start(folder.path(), "1GiB").await;
    let names: Vec<_> = server.models().await.into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["iris"]);
    assert!(Path::new(folder.path()).join("notes.txt").is_file());
}
