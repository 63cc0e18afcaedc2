//! Requests that do not fit the model: refused before anything runs, with errors that name tensor, expected and got.

use adapter::onnx::OnnxRuntime;
use api::inference::{
    InferTensorContents, ModelInferRequest,
    model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
};
use bytes::Bytes;
use tonic::Code;

use crate::harness::{case, load_of, load_request, raw_request, runtime, typed_request};

async fn models() -> OnnxRuntime {
    let runtime = runtime();
    for name in [
        "linear",
        "mixed_columns",
        "transpose_bool",
        "transpose_fp16",
        "transpose_int8",
    ] {
        runtime.load(&load_of(name)).await.unwrap();
    }
    runtime
}

/// Changes a good request and expects it to be refused, with these words in the message.
async fn refused(
    runtime: &OnnxRuntime,
    model: &str,
    change: impl FnOnce(&mut ModelInferRequest),
    parts: &[&str],
) {
    let good = raw_request(model, &case(model).inputs);
    refused_request(runtime, good, change, parts).await;
}

async fn refused_request(
    runtime: &OnnxRuntime,
    mut request: ModelInferRequest,
    change: impl FnOnce(&mut ModelInferRequest),
    parts: &[&str],
) {
    change(&mut request);
    let status = runtime.infer(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    for part in parts {
        assert!(
            status.message().contains(part),
            "{part:?} in {:?}",
            status.message()
        );
    }
}

#[tokio::test]
async fn names() {
    let runtime = models().await;
    refused(
        &runtime,
        "linear",
        |r| r.inputs[0].name = "Y".to_owned(),
        &["unknown input \"Y\"", "\"X\""],
    )
    .await;
    refused(
        &runtime,
        "linear",
        |r| {
            r.inputs.clear();
            r.raw_input_contents.clear();
        },
        &["input \"X\" is missing"],
    )
    .await;
    refused(
        &runtime,
        "linear",
        |r| {
            r.inputs.push(r.inputs[0].clone());
            r.raw_input_contents.push(r.raw_input_contents[0].clone());
        },
        &["input \"X\" is there twice"],
    )
    .await;
    let output = |name: &str| InferRequestedOutputTensor {
        name: name.to_owned(),
        ..Default::default()
    };
    refused(
        &runtime,
        "linear",
        |r| r.outputs = vec![output("z")],
        &["unknown output \"z\"", "\"variable\""],
    )
    .await;
    let twice = vec![output("variable"), output("variable")];
    refused(
        &runtime,
        "linear",
        |r| r.outputs = twice,
        &["output \"variable\" is asked for twice"],
    )
    .await;
}

#[tokio::test]
async fn datatypes_and_shapes() {
    let runtime = models().await;
    let shape = |shape: &'static [i64]| move |r: &mut ModelInferRequest| r.inputs[0].shape = shape.to_vec();
    refused(
        &runtime,
        "linear",
        |r| r.inputs[0].datatype = "FP64".to_owned(),
        &["\"X\"", "expected datatype FP32", "FP64"],
    )
    .await;
    refused(
        &runtime,
        "linear",
        |r| r.inputs[0].datatype = "float".to_owned(),
        &["FP32", "\"float\""],
    )
    .await;
    refused(
        &runtime,
        "linear",
        shape(&[5, 3]),
        &["\"X\"", "[-1, 4]", "[5, 3]"],
    )
    .await;
    refused(&runtime, "linear", shape(&[20]), &["[-1, 4]", "[20]"]).await;
    refused(&runtime, "linear", shape(&[]), &["[-1, 4]", "[]"]).await;
    refused(&runtime, "linear", shape(&[-1, 4]), &["[-1, 4]"]).await;
    refused(&runtime, "linear", shape(&[6, 4]), &["takes 96 bytes", "got 80"]).await;
    // A gigabyte declared in a hundred bytes is refused by arithmetic, not by allocation.
    refused(
        &runtime,
        "linear",
        shape(&[1 << 26, 4]),
        &["takes 1073741824 bytes", "got 80"],
    )
    .await;
    refused(
        &runtime,
        "linear",
        shape(&[i64::MAX, 4]),
        &["more elements than can be addressed"],
    )
    .await;
    refused(
        &runtime,
        "linear",
        shape(&[i64::MAX / 4, 4]),
        &["more elements than can be addressed"],
    )
    .await;
    refused(
        &runtime,
        "linear",
        |r| r.raw_input_contents[0] = Bytes::from_static(&[0; 79]),
        &["80 bytes", "got 79"],
    )
    .await;
    let inputs = &case("mixed_columns").inputs;
    assert_eq!(inputs.len(), 3);
    refused(
        &runtime,
        "mixed_columns",
        |r| {
            r.inputs[2].shape = vec![2, 1];
            r.raw_input_contents[2] = Bytes::from_static(&[0; 8]);
        },
        &["dimension 0", "is 2, but 3", "must agree"],
    )
    .await;
}

#[tokio::test]
async fn contents() {
    let runtime = models().await;
    let contents = |contents| Some(InferTensorContents { ..contents });
    let floats = |count| InferTensorContents {
        fp32_contents: vec![0.0; count],
        ..Default::default()
    };
    refused(
        &runtime,
        "linear",
        |r| r.inputs[0].contents = contents(floats(20)),
        &["typed contents beside raw"],
    )
    .await;
    refused(
        &runtime,
        "linear",
        |r| r.raw_input_contents.push(Bytes::new()),
        &["2 entries for 1 inputs"],
    )
    .await;
    let typed = |model: &str| typed_request(model, &case(model).inputs);
    refused_request(
        &runtime,
        typed("linear"),
        |r| r.inputs[0].contents = contents(floats(19)),
        &["\"X\"", "[5, 4] has 20 elements, got 19"],
    )
    .await;
    refused_request(
        &runtime,
        typed("linear"),
        |r| r.inputs[0].contents = None,
        &["20 elements, got 0"],
    )
    .await;
    let wrong = InferTensorContents {
        fp64_contents: vec![0.0; 20],
        ..Default::default()
    };
    refused_request(
        &runtime,
        typed("linear"),
        |r| r.inputs[0].contents = Some(wrong),
        &["FP32 data belongs in fp32_contents, but fp64_contents is set"],
    )
    .await;
    let large = InferTensorContents {
        int_contents: vec![1, 200],
        ..Default::default()
    };
    refused_request(
        &runtime,
        typed("transpose_int8"),
        |r| r.inputs[0].contents = Some(large),
        &["element 1 is out of range for INT8"],
    )
    .await;
    let half = ModelInferRequest {
        model_name: "transpose_fp16".to_owned(),
        inputs: vec![InferInputTensor {
            name: "x".to_owned(),
            datatype: "FP16".to_owned(),
            shape: vec![1, 2],
            contents: Some(floats(2)),
            ..Default::default()
        }],
        ..Default::default()
    };
    refused_request(
        &runtime,
        half,
        |_| {},
        &["FP16 data can only be sent in raw_input_contents"],
    )
    .await;
    refused(
        &runtime,
        "transpose_bool",
        |r| r.raw_input_contents[0] = Bytes::from_static(&[1, 2]),
        &["element 1 is 2"],
    )
    .await;
}

#[tokio::test]
async fn strings() {
    let runtime = models().await;
    let raw = |raw: &'static [u8]| {
        move |r: &mut ModelInferRequest| {
            r.inputs.truncate(1);
            r.inputs[0].shape = vec![1, 1];
            r.raw_input_contents = vec![Bytes::from_static(raw)];
        }
    };
    refused(
        &runtime,
        "mixed_columns",
        raw(b"\x04\0\0\0red"),
        &["\"color\"", "element 0 ends after the data"],
    )
    .await;
    refused(
        &runtime,
        "mixed_columns",
        raw(b"\x01\0"),
        &["element 0 ends after the data"],
    )
    .await;
    refused(
        &runtime,
        "mixed_columns",
        raw(b""),
        &["expected 1 elements, got 0"],
    )
    .await;
    refused(
        &runtime,
        "mixed_columns",
        raw(b"\x01\0\0\0a\x01\0\0\0b"),
        &["expected 1 elements, got 2"],
    )
    .await;
    refused(
        &runtime,
        "mixed_columns",
        raw(b"\x01\0\0\0\xff"),
        &["element 0 is not valid UTF-8"],
    )
    .await;
    refused(
        &runtime,
        "mixed_columns",
        |r| {
            r.inputs.truncate(1);
            r.inputs[0].shape = vec![i64::from(u32::MAX), 1];
            r.raw_input_contents = vec![Bytes::from_static(b"\x01\0\0\0a")];
        },
        &["expected 4294967295 elements, got 1"],
    )
    .await;
}

#[tokio::test]
async fn models_and_versions() {
    let runtime = models().await;
    let request = raw_request("linear", &case("linear").inputs);
    let unknown = ModelInferRequest {
        model_name: "gone".to_owned(),
        ..request.clone()
    };
    let status = runtime.infer(unknown).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, "model gone is not loaded")
    );
    let version = |version: &str| ModelInferRequest {
        model_version: version.to_owned(),
        ..request.clone()
    };
    assert_eq!(runtime.infer(version("1")).await.unwrap().model_version, "1");
    let status = runtime.infer(version("2")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("version \"2\""), "{}", status.message());
}

#[tokio::test]
async fn a_numbered_folder_is_the_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("3");
    std::fs::create_dir(&path).unwrap();
    std::fs::copy(
        crate::harness::models().join("linear.onnx"),
        path.join("model.onnx"),
    )
    .unwrap();
    let runtime = runtime();
    runtime.load(&load_request("linear", &path)).await.unwrap();
    let request = |version: &str| ModelInferRequest {
        model_version: version.to_owned(),
        ..raw_request("linear", &case("linear").inputs)
    };
    for version in ["", "3"] {
        assert_eq!(runtime.infer(request(version)).await.unwrap().model_version, "3");
    }
    let status = runtime.infer(request("1")).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, "model linear has no version \"1\", only \"3\"")
    );
}
