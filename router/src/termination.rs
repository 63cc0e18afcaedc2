//! `LL_TERMINATION_MSG_PATH`: why a start failed, where Kubernetes shows it.

use std::{env, fs};

/// Where modelmesh-serving's pods have it.
const VARIABLE: &str = "LL_TERMINATION_MSG_PATH";
/// As much as Kubernetes keeps.
const LONGEST: usize = 4096;

/// Writes the text to the file that the environment names, if it does. A file that cannot be written is no second failure.
pub fn write(text: &str) {
    let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) else {
        return;
    };
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if let Err(error) = fs::write(&path, &text[..end]) {
        tracing::warn!(path = %path.display(), %error, "termination message not written");
    }
}
