//! Models made on the spot, where a server finds them, and calls to them.

use std::{fs, path::Path};

pub(crate) use e2e::onnx::{adds, unsupported, weighing};

use super::rest::Answer;

/// Writes a model as a server's folder should be written to: complete under another name, then renamed.
pub(crate) fn place(folder: &Path, file: &str, content: &[u8]) {
    let temporary = folder.join(format!(".{file}.new"));
    fs::write(&temporary, content).expect("the models folder can be written");
    fs::rename(&temporary, folder.join(file)).expect("the models folder can be written");
}

/// A request for one of the models here.
pub(crate) fn request(x: f32) -> String {
    format!(r#"{{"inputs":[{{"name":"x","shape":[1,1],"datatype":"FP32","data":[{x}]}}]}}"#)
}

/// The only number of an answer of one of the models here.
#[track_caller]
pub(crate) fn value(answer: &Answer) -> f64 {
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let json = answer.json();
    json["outputs"][0]["data"][0]
        .as_f64()
        .unwrap_or_else(|| panic!("no number in {json}"))
}
