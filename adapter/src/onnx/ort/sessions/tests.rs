use std::{fs, path::Path};

use super::*;
use crate::onnx::ort::{OrtEngine, ort_library::ort_library};

/// Sessions of a model whose file lies in `folder`.
fn sessions(folder: &Path) -> Sessions {
    let path = folder.join("model.onnx");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/linear.onnx");
    fs::copy(model, &path).unwrap();
    let runtime = OrtEngine::new(Some(ort_library())).unwrap().runtime;
    let file = ModelFile::read(&path).unwrap();
    let first = make(&runtime, &file).unwrap();
    Sessions::new(runtime, file, first, 1000)
}

#[test]
fn a_call_that_waits_gets_a_session_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let sessions = sessions(folder.path());
    assert!(!sessions.are_busy());
    sessions.with(|_| {
        assert!(sessions.are_busy());
        // Would never end if it had to wait for the session that is held here.
        thread::scope(|scope| scope.spawn(|| sessions.with(|_| ())).join().unwrap());
        assert!(!sessions.are_busy());
    });
    let state = sessions.state.lock();
    assert_eq!((state.made, state.idle.len(), state.shares.len()), (2, 2, 1));
}

#[test]
fn a_session_is_given_back_also_after_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let sessions = sessions(folder.path());
    assert!(contained(|| sessions.with(|_| panic!("in a call"))).is_err());
    assert!(!sessions.are_busy());
}

#[test]
fn a_changed_file_gives_no_further_session() {
    let folder = tempfile::tempdir().unwrap();
    let sessions = sessions(folder.path());
    assert!(sessions.grow().is_some());
    let path = folder.path().join("model.onnx");
    let content = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(sessions.grow().is_none());
    // The same bytes, in a file that is another one for all we know.
    fs::write(&path, content).unwrap();
    assert!(sessions.grow().is_none());
}

#[test]
fn spare_memory_has_a_bound() {
    assert!(Share::take(SPARE_BYTES + 1).is_none());
    let share = Share::take(1000);
    assert!(share.is_some());
}
