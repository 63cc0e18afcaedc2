//! ONNX Runtime's library for tests. The unit tests of the engine use this file as well.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The folder of the library as its Python package brings it, in the environment of the reference answers. A script
/// of the project installs that.
pub(crate) fn ort_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let made = Command::new(root.join("scripts/venv.sh"))
            .arg(root.join("e2e/clients/requirements.txt"))
            .output()
            .expect("scripts/venv.sh runs");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "scripts/venv.sh failed:\n{said}");
        let venv = String::from_utf8(made.stdout).unwrap();
        let pythons = std::fs::read_dir(Path::new(venv.trim()).join("lib")).unwrap();
        let capi = |python: PathBuf| python.join("site-packages/onnxruntime/capi");
        pythons
            .map(|python| capi(python.unwrap().path()))
            .find(|folder| folder.is_dir())
            .expect("the environment has the package onnxruntime")
    })
}
