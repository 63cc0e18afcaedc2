//! What a start costs before anything is loaded: looking at ten thousand files.

use std::{fs, path::PathBuf};

use divan::Bencher;
use standalone::models::{Models, plan, walk};
use tempfile::TempDir;

const FILES: usize = 10_000;

fn main() {
    divan::main();
}

/// Every layout in turn.
fn folder() -> TempDir {
    let dir = TempDir::new().expect("the temporary folder can be written");
    for i in 0..FILES {
        let path = match i % 3 {
            0 => PathBuf::from(format!("m{i}.onnx")),
            1 => PathBuf::from(format!("m{i}/model.onnx")),
            _ => PathBuf::from(format!("m{i}/1/model.onnx")),
        };
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(dir.path())).expect("the temporary folder can be written");
        fs::write(path, b"").expect("the temporary folder can be written");
    }
    dir
}

#[divan::bench(sample_count = 20)]
fn ten_thousand_files(bencher: Bencher) {
    let dir = folder();
    bencher.bench(|| walk::scan(dir.path()).expect("the folder can be read"));
}

#[divan::bench(sample_count = 20)]
fn ten_thousand_models_of_which_none_changed(bencher: Bencher) {
    let dir = folder();
    let models: Models = walk::scan(dir.path()).expect("the folder can be read").models;
    bencher.bench(|| plan::diff(&models, &models));
}
