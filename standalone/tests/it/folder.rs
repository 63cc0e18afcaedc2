//! The folder is the truth: what changes there changes what is served, and no request fails on the way.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use e2e::process;
use http::StatusCode;
use tempfile::TempDir;

use crate::support::{SOON, Served, close, example, expected, http, numbers, place, request, stowage};

/// Two models that take the same input and answer it differently.
fn version(number: u8) -> Vec<u8> {
    fs::read(example(&format!("models/breast-cancer/{number}/model.onnx"))).expect("the example is there")
}

fn answers() -> (Vec<f64>, Vec<f64>) {
    (expected("breast-cancer.v1"), expected("breast-cancer"))
}

fn folder() -> TempDir {
    TempDir::new().expect("the temporary folder can be written")
}

#[tokio::test(flavor = "multi_thread")]
async fn from_new_to_changed_to_gone() {
    let (folder, request, (first, second)) = (folder(), request("breast-cancer"), answers());
    let file = folder.path().join("m.onnx");
    let server = Arc::new(Served::start(folder.path()).await);
    assert!(server.banner().await.contains("0 models in"));

    place(&version(1), &file);
    server.until("m", &request, &first).await;

    let stop = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn({
        let (server, stop, request) = (Arc::clone(&server), Arc::clone(&stop), request.clone());
        let (first, second) = (first.clone(), second.clone());
        async move {
            let mut switched = false;
            while !stop.load(Ordering::Relaxed) {
                let (status, answer) = server.infer("m", &request).await;
                assert_eq!(status, StatusCode::OK, "{answer}");
                let answer = numbers(&answer);
                switched = switched || close(&answer, &second);
                assert!(
                    close(&answer, if switched { &second } else { &first }),
                    "{answer:?}"
                );
            }
            switched
        }
    });
    place(&version(2), &file);
    server.until("m", &request, &second).await;
    stop.store(true, Ordering::Relaxed);
    assert!(asking.await.expect("no request failed"), "the switch was seen");

    fs::remove_file(&file).expect("the folder can be written");
    server.until_status("m", StatusCode::NOT_FOUND).await;
    let sample = example("requests/breast-cancer.json").display().to_string();
    let done = stowage(&["infer", "m", &sample, "--server", &server.addresses.rest]).await;
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("model not found"), "{}", done.stderr);
    assert!(server.models().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_in_place() {
    let (folder, request, (first, second)) = (folder(), request("breast-cancer"), answers());
    let file = folder.path().join("m.onnx");
    place(&version(1), &file);
    let server = Served::start(folder.path()).await;
    server.until("m", &request, &first).await;
    fs::write(&file, version(2)).expect("the folder can be written");
    server.until("m", &request, &second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_keeps_the_model_before_it() {
    let (folder, request, (first, second)) = (folder(), request("breast-cancer"), answers());
    let file = folder.path().join("m.onnx");
    place(&version(1), &file);
    let server = Served::start(folder.path()).await;
    server.until("m", &request, &first).await;

    let whole = version(2);
    place(whole.get(..whole.len() / 2).expect("half of it"), &file);
    let reported = process::eventually("the error", SOON, async || {
        let (status, answer) = server.infer("m", &request).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert!(close(&numbers(&answer), &first), "{answer}");
        Ok(server.model("m").await["error"].as_str().map(str::to_owned))
    });
    let error = reported.await.expect("stowage models shows what is wrong");
    assert!(error.contains("m.onnx"), "{error}");

    place(&whole, &file);
    server.until("m", &request, &second).await;
    assert!(server.model("m").await["error"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_answer_by_number_and_the_highest_by_name() {
    let (folder, request, (first, second)) = (folder(), request("breast-cancer"), answers());
    let at = |number: &str| folder.path().join("m").join(number).join("model.onnx");
    place(&version(1), &at("9"));
    let server = Served::start(folder.path()).await;
    server.until("m", &request, &first).await;

    place(&version(2), &at("10"));
    server.until("m", &request, &second).await;
    for (number, numbers) in [("9", &first), ("10", &second)] {
        let path = format!("m/versions/{number}");
        server.until(&path, &request, numbers).await;
        let (_, answer) = server.infer(&path, &request).await;
        assert_eq!(
            (&answer["model_name"], &answer["model_version"]),
            (&"m".into(), &number.into())
        );
    }
    let (_, answer) = server.infer("m", &request).await;
    assert_eq!(
        (&answer["model_name"], &answer["model_version"]),
        (&"m".into(), &"10".into())
    );
    server.until_status("m/versions/8", StatusCode::NOT_FOUND).await;

    fs::remove_dir_all(folder.path().join("m/10")).expect("the folder can be written");
    server.until("m", &request, &first).await;
    server.until_status("m/versions/10", StatusCode::NOT_FOUND).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_external_data_is_a_change_of_the_model() {
    let folder = folder();
    let at = |name: &str| folder.path().join("digits").join(name);
    let copy =
        |name: &str| fs::read(example(&format!("models/digits/{name}"))).expect("the example is there");
    let (mut weights, request) = (copy("weights.bin"), request("digits"));
    place(&weights, &at("weights.bin"));
    place(&copy("model.onnx"), &at("model.onnx"));
    let server = Served::start(folder.path()).await;
    server.until("digits", &request, &expected("digits")).await;

    weights.fill(0);
    place(&weights, &at("weights.bin"));
    let changed = process::eventually("another answer", SOON, async || {
        let (status, answer) = server.infer("digits", &request).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        Ok((!close(&numbers(&answer), &expected("digits"))).then_some(()))
    });
    changed.await.expect("the new weights are used");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_links_that_cannot_be_served_are_left_out() {
    let (folder, outside) = (folder(), folder());
    place(&version(1), &outside.path().join("secret.onnx"));
    place(&version(1), &folder.path().join("good.onnx"));
    place(&version(1), &folder.path().join("bad name.onnx"));
    let link = |path: &Path| std::os::unix::fs::symlink(outside.path().join("secret.onnx"), path);
    link(&folder.path().join("link.onnx")).expect("links can be made");
    let server = Served::start(folder.path()).await;
    let names: Vec<_> = server
        .models()
        .await
        .into_iter()
        .map(|model| model["name"].clone())
        .collect();
    assert_eq!(names, ["good"]);
    let banner = server.banner().await;
    for part in [
        "1 model in",
        "2 not served",
        "leads out of the models folder",
        "bad name.onnx",
    ] {
        assert!(banner.contains(part), "no {part:?} in {banner}");
    }

    // A link that is made later is judged the same way: the server heard of it when it heard of the file after it.
    link(&folder.path().join("later.onnx")).expect("links can be made");
    place(&version(1), &folder.path().join("last.onnx"));
    server.until_status("last", StatusCode::OK).await;
    let (status, _) = http(&server.addresses.rest, "GET", "/v2/models/later", "").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
