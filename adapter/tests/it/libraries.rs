//! Files that are no usable ONNX Runtime: the program says so and ends with 2. A process can load one library only, so
//! each is tried by a process of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::{
    harness::ort_library,
    program::{refused, serves_and_stops},
};

fn command(engine: &str, library: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stowage-adapter"));
    command
        .args(["onnx", "--onnx-engine", engine])
        .env_clear()
        .env("CONTAINER_MEM_REQ_BYTES", "1GiB")
        .env("ORT_DYLIB_PATH", library);
    command
}

fn started(engine: &str, library: &Path) -> Output {
    command(engine, library).output().unwrap()
}

/// The package's library.
fn library() -> PathBuf {
    let files = fs::read_dir(ort_library())
        .unwrap()
        .map(|file| file.unwrap().path());
    let is_library = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("libonnxruntime.so.")
    };
    files.into_iter().find(is_library).unwrap()
}

/// Builds the library that pretends to be ONNX Runtime of this version.
fn other_runtime(folder: &Path, version: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/other_runtime.rs");
    let library = folder.join(format!("other-{version}.so"));
    let built = Command::new("rustc")
        .args(["--edition=2024", "-Cpanic=abort", "-o"])
        .args([&library, &source])
        .env("STUB_VERSION", version)
        .output()
        .expect("rustc runs");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    library
}

#[test]
fn files_that_are_no_usable_onnx_runtime_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    refused(
        &started("ort", &path.join("missing.so")),
        &["missing.so cannot be used", "No such file"],
    );
    refused(
        &started("ort", path),
        &[
            "no libonnxruntime.so in",
            path.to_str().unwrap(),
            "pip install onnxruntime",
        ],
    );
    let text = path.join("text.so");
    fs::write(&text, "no library at all").unwrap();
    refused(
        &started("ort", &text),
        &["text.so cannot be used: it is not a shared library"],
    );
    let cut = path.join("cut.so");
    let whole = fs::copy(library(), &cut).unwrap();
    fs::OpenOptions::new()
        .write(true)
        .open(&cut)
        .unwrap()
        .set_len(whole / 2)
        .unwrap();
    refused(&started("ort", &cut), &["cut.so cannot be used: it is cut short"]);
    // A library, and no ONNX Runtime.
    let other = ort_library().join("libonnxruntime_providers_shared.so");
    refused(&started("ort", &other), &["it is not ONNX Runtime"]);
    // Named, so `auto` means it too.
    refused(&started("auto", &other), &["it is not ONNX Runtime"]);
}

#[test]
fn old_and_empty_runtimes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let old = other_runtime(folder.path(), "1.10.0");
    refused(
        &started("ort", &old),
        &["it is ONNX Runtime 1.10.0, and 1.24 or newer is needed"],
    );
    // It claims a version and has nothing of it.
    let empty = other_runtime(folder.path(), "1.99.0");
    refused(&started("ort", &empty), &["cannot be used: it does not start"]);
}

#[test]
fn the_builtin_engine_looks_at_no_library() {
    let folder = tempfile::tempdir().unwrap();
    serves_and_stops(command("builtin", Path::new("/nowhere")), folder.path());
}

#[test]
fn the_program_serves_with_onnx_runtime() {
    for engine in ["auto", "ort"] {
        let folder = tempfile::tempdir().unwrap();
        let said = serves_and_stops(command(engine, &library()), folder.path());
        assert!(said.contains("ONNX Runtime 1."), "{said}");
    }
}
