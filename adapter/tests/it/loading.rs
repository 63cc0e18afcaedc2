//! Which paths and files load, and what is said about those that do not.

use std::{fs, os::unix::fs::symlink, path::Path};

use adapter::onnx::{
    OnnxRuntime,
    engine::{Dim, Engine, TensorInfo},
    ort::OrtEngine,
    source,
    tensor::Tensor,
    tract::TractEngine,
};
use api::mmesh::{LoadModelRequest, PredictModelSizeRequest};
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;
use tonic::Code;
use tract_onnx::pb::{ModelProto, StringStringEntryProto};

use crate::harness::{load_of, load_request, models, ort_library, runtime, runtime_with};

async fn refused(runtime: &OnnxRuntime, request: &LoadModelRequest, code: Code, parts: &[&str]) {
    let status = runtime.load(request).await.unwrap_err();
    assert_eq!(status.code(), code, "{status}");
    for part in parts {
        assert!(
            status.message().contains(part),
            "{part:?} in {:?}",
            status.message()
        );
    }
    assert!(runtime.loaded().is_empty());
}

fn copy(name: &str, to: &Path) {
    fs::copy(models().join(format!("{name}.onnx")), to).unwrap();
}

#[tokio::test]
async fn a_path_is_a_file_or_a_folder_with_one_model() {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    refused(
        &runtime,
        &load_request("m", path),
        Code::InvalidArgument,
        &["neither model.onnx nor any other"],
    )
    .await;
    copy("linear", &path.join("a.onnx"));
    runtime.load(&load_request("only", path)).await.unwrap();
    runtime.unload("only").await.unwrap();
    copy("tree", &path.join("b.onnx"));
    refused(
        &runtime,
        &load_request("m", path),
        Code::InvalidArgument,
        &["2 .onnx files", "none is model.onnx"],
    )
    .await;
    copy("conv", &path.join("model.onnx"));
    runtime.load(&load_request("preferred", path)).await.unwrap();
    runtime
        .load(&load_request("named", path.join("b.onnx")))
        .await
        .unwrap();
    assert_eq!(runtime.loaded(), ["named", "preferred"]);
}

#[tokio::test]
async fn bad_paths_keys_and_ids_are_refused_before_anything_is_attempted() {
    let runtime = runtime();
    let code = Code::InvalidArgument;
    refused(&runtime, &load_request("m", ""), code, &["path is empty"]).await;
    refused(
        &runtime,
        &load_request("m", "/nowhere/m.onnx"),
        code,
        &["/nowhere/m.onnx", "No such file"],
    )
    .await;
    refused(
        &runtime,
        &load_request("", models().join("linear.onnx")),
        code,
        &["modelId is empty"],
    )
    .await;
    let long = "x".repeat(2000);
    refused(
        &runtime,
        &load_request(&long, models().join("linear.onnx")),
        code,
        &["2000 bytes"],
    )
    .await;
    let request = LoadModelRequest {
        model_key: "{\"secret\": \"hunter2\"".to_owned(),
        ..load_of("linear")
    };
    let status = runtime.load(&request).await.unwrap_err();
    assert_eq!(status.code(), code);
    assert!(!status.message().contains("hunter2"), "{}", status.message());
}

#[tokio::test]
async fn nothing_outside_of_the_models_root_is_reachable() {
    let outside = tempfile::tempdir().unwrap();
    copy("linear", &outside.path().join("model.onnx"));
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("in")).unwrap();
    copy("linear", &root.path().join("in/model.onnx"));
    fs::create_dir(root.path().join("linked")).unwrap();
    symlink(
        outside.path().join("model.onnx"),
        root.path().join("linked/model.onnx"),
    )
    .unwrap();
    symlink(outside.path(), root.path().join("link")).unwrap();
    symlink("in", root.path().join("inner")).unwrap();
    let runtime = runtime_with(|options| options.models_root = Some(root.path().to_owned()));
    let escape = format!(
        "../{}/model.onnx",
        outside.path().file_name().unwrap().to_str().unwrap()
    );
    let absolute = outside.path().join("model.onnx");
    for path in [
        escape.as_str(),
        "in/../in",
        "linked",
        "link",
        "link/model.onnx",
        absolute.to_str().unwrap(),
    ] {
        let parts = ["outside of the models folder", path];
        refused(&runtime, &load_request("m", path), Code::InvalidArgument, &parts).await;
    }
    // What does not exist outside is not told apart from what does.
    refused(
        &runtime,
        &load_request("m", "/etc/nothing"),
        Code::InvalidArgument,
        &["outside of the models"],
    )
    .await;
    for path in [
        "in",
        "in/model.onnx",
        "inner",
        root.path().join("in").to_str().unwrap(),
    ] {
        runtime.load(&load_request(path, path)).await.unwrap();
    }
}

#[tokio::test]
async fn operators_that_are_missing_are_named() {
    let parts = [
        "unsupported operator",
        "StringNormalizer",
        "ai.onnx",
        "\"cleaner\"",
        "ai.onnx 17",
    ];
    refused(
        &runtime(),
        &load_of("unsupported"),
        Code::FailedPrecondition,
        &parts,
    )
    .await;
}

#[tokio::test]
async fn broken_files_are_refused_and_the_runtime_goes_on() {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    let request = load_request("broken", &file);
    for garbage in [&b""[..], b"not a model", &[0xff; 100], b"\x08\x08"] {
        fs::write(&file, garbage).unwrap();
        refused(
            &runtime,
            &request,
            Code::FailedPrecondition,
            &["is not a valid ONNX model"],
        )
        .await;
    }
    let whole = fs::read(models().join("forest.onnx")).unwrap();
    for len in (0..whole.len()).step_by(97) {
        fs::write(&file, &whole[..len]).unwrap();
        let status = runtime.load(&request).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    }
    fs::write(&file, &whole).unwrap();
    runtime.load(&request).await.unwrap();
}

#[tokio::test]
async fn graphs_with_loose_ends_are_refused() {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.onnx");
    let changed = |name: &str, change: &dyn Fn(&mut ModelProto)| {
        let bytes = fs::read(models().join(format!("{name}.onnx"))).unwrap();
        let mut model = ModelProto::decode(bytes.as_slice()).unwrap();
        change(&mut model);
        fs::write(&file, model.encode_to_vec()).unwrap();
        load_request("loose", &file)
    };
    let code = Code::FailedPrecondition;
    let request = changed("linear", &|m| {
        m.graph.as_mut().unwrap().node[0].input[0] = "ghost".to_owned();
    });
    refused(&runtime, &request, code, &["\"ghost\"", "nothing makes"]).await;
    let request = changed("linear", &|m| {
        m.graph.as_mut().unwrap().output[0].name = "ghost".to_owned();
    });
    refused(&runtime, &request, code, &["output \"ghost\" is made by no node"]).await;
    let request = changed("linear", &|m| m.graph = None);
    refused(&runtime, &request, code, &["no graph"]).await;
    // A forest whose node is its own child would never end.
    let request = changed("stumps_sum", &|m| {
        let node = &mut m.graph.as_mut().unwrap().node[0];
        let attribute = node
            .attribute
            .iter_mut()
            .find(|a| a.name == "nodes_truenodeids")
            .unwrap();
        attribute.ints[0] = 0;
    });
    refused(&runtime, &request, code, &["TreeEnsembleRegressor"]).await;
    let request = changed("stumps_sum", &|m| {
        let node = &mut m.graph.as_mut().unwrap().node[0];
        node.attribute
            .iter_mut()
            .find(|a| a.name == "target_ids")
            .unwrap()
            .ints[0] = 7;
    });
    refused(&runtime, &request, code, &["target 7 of 2"]).await;
}

#[tokio::test]
async fn external_data_stays_in_the_models_folder() {
    let runtime = runtime();
    runtime
        .load(&load_request("fine", models().join("external")))
        .await
        .unwrap();
    runtime.unload("fine").await.unwrap();
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("model");
    fs::create_dir(&folder).unwrap();
    fs::write(outer.path().join("secret"), [0; 64]).unwrap();
    symlink("../secret", folder.join("link")).unwrap();
    let bytes = fs::read(models().join("external/model.onnx")).unwrap();
    let located = |entries: &[(&str, &str)]| {
        let mut model = ModelProto::decode(bytes.as_slice()).unwrap();
        let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        model.graph.as_mut().unwrap().initializer[0].external_data = entries.iter().map(entry).collect();
        fs::write(folder.join("model.onnx"), model.encode_to_vec()).unwrap();
        load_request("escaping", &folder)
    };
    let code = Code::FailedPrecondition;
    let secret = outer.path().join("secret");
    for location in ["../secret", secret.to_str().unwrap(), "a/../../secret"] {
        let parts = ["tensor \"m\"", "must be a relative path"];
        refused(&runtime, &located(&[("location", location)]), code, &parts).await;
    }
    refused(
        &runtime,
        &located(&[("location", "link")]),
        code,
        &["leads outside of the model's folder"],
    )
    .await;
    refused(
        &runtime,
        &located(&[("location", "missing")]),
        code,
        &["\"missing\"", "No such file"],
    )
    .await;
    refused(&runtime, &located(&[]), code, &["no location"]).await;
    fs::write(folder.join("data"), [0; 10]).unwrap();
    for entries in [
        &[("location", "data"), ("length", "64")][..],
        &[
            ("location", "data"),
            ("offset", "18446744073709551615"),
            ("length", "64"),
        ],
        &[("location", "data"), ("offset", "11")],
    ] {
        refused(&runtime, &located(entries), code, &["\"data\" has 10 bytes"]).await;
    }
    refused(
        &runtime,
        &located(&[("location", "data"), ("length", "x")]),
        code,
        &["length \"x\" is not a number"],
    )
    .await;
    fs::write(folder.join("data"), [0; 64]).unwrap();
    runtime.load(&located(&[("location", "data")])).await.unwrap();
}

#[tokio::test]
async fn sizes_are_predicted_from_the_disk_and_measured_when_loaded() {
    let runtime = runtime();
    let predict = |path: &Path, key: &str| PredictModelSizeRequest {
        model_id: "m".to_owned(),
        model_type: "onnx".to_owned(),
        model_path: path.to_str().unwrap().to_owned(),
        model_key: key.to_owned(),
    };
    let file = models().join("forest.onnx");
    let on_disk = file.metadata().unwrap().len();
    assert_eq!(
        runtime.predict_size(&predict(&file, "")).await.unwrap(),
        on_disk * 5 / 4
    );
    let key = r#"{"model_type": {"name": "onnx"}, "disk_size_bytes": 54321}"#;
    assert_eq!(runtime.predict_size(&predict(&file, key)).await.unwrap(), 67901);
    // External data counts.
    let folder = models().join("external");
    let on_disk: u64 = fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(
        runtime.predict_size(&predict(&folder, "")).await.unwrap(),
        on_disk * 5 / 4
    );
    let status = runtime
        .predict_size(&predict(Path::new("/nowhere"), ""))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);

    let loaded = runtime.load(&load_of("forest")).await.unwrap();
    assert!(loaded.size_in_bytes > 0);
    assert_eq!(runtime.model_size("forest").await.unwrap(), loaded.size_in_bytes);
    assert_eq!(
        runtime.model_size("other").await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn a_model_larger_than_the_capacity_is_refused() {
    for capacity in [100, 5_000] {
        let runtime = runtime_with(|options| options.capacity_bytes = capacity);
        let parts = ["the model takes", &format!("the runtime has {capacity}")];
        refused(&runtime, &load_of("forest"), Code::FailedPrecondition, &parts).await;
    }
}

/// A tensor that fits a declaration, all zeros or empty strings.
fn zeros(info: &TensorInfo) -> Tensor {
    let extent = |dim: &Dim| match dim {
        // A damaged extent may be anything.
        Dim::Fixed(extent) => (*extent).min(1000),
        Dim::Named(_) | Dim::Any => 2,
    };
    let shape = info.dims.iter().map(extent).collect::<Vec<_>>();
    let count: usize = shape.iter().product();
    // An empty string is its length, which is four zeros.
    let raw = Bytes::from(vec![0; count.min(1 << 20) * info.datatype.size().unwrap_or(4)]);
    Tensor {
        datatype: info.datatype,
        shape,
        raw,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Flipped bytes give a model or an error, and an answer or an error, never a crash.
    #[test]
    fn damaged_models_never_crash(
        name in prop::sample::select(vec!["forest", "mixed_columns", "conv", "svc", "label_tensors", "neighbors"]),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = fs::read(models().join(format!("{name}.onnx"))).unwrap();
        for (index, byte) in flips {
            let at = index.index(bytes.len());
            bytes[at] ^= byte;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("model.onnx"), bytes).unwrap();
        let source = source::resolve(None, folder.path().to_str().unwrap()).unwrap();
        let ort = OrtEngine::new(Some(ort_library())).unwrap();
        for engine in [&TractEngine::new() as &dyn Engine, &ort] {
            if let Ok(model) = engine.load(&source) {
                let inputs = model.inputs().iter().map(zeros).collect::<Vec<_>>();
                let outputs = (0..model.outputs().len()).collect::<Vec<_>>();
                let _either = model.run(&inputs, &outputs);
            }
        }
    }
}
