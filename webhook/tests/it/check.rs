//! `stowage-webhook check`, `explain` and `policies` as processes.

mod context;
mod definitions;
mod formats;
mod inputs;
mod rules_document;
mod sarif;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// What a process did.
#[derive(Debug)]
struct Done {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Runs `stowage-webhook` in a folder.
fn run_in(folder: &Path, args: &[&str], input: &[u8]) -> Done {
    let mut child = Command::new(env!("CARGO_BIN_EXE_stowage-webhook"))
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary is built with this test");
    // One that does not read its input is no failure.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input));
    let output = child.wait_with_output().expect("the process ends");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Done {
        code: output.status.code().expect("no signal ends it"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// A folder with files.
struct Folder(TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(TempDir::new().expect("the temporary folder can be written"));
        for (name, text) in files {
            let path = folder.path(name);
            fs::create_dir_all(path.parent().expect("a file is in a folder")).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Done {
        run_in(self.0.path(), args, b"")
    }

    /// The report of `check -o json` with these arguments.
    fn check(&self, args: &[&str]) -> (i32, Vec<Value>) {
        let done = self.run(&[&["check", "-o", "json"], args].concat());
        let report = serde_json::from_str(&done.stdout).unwrap_or_else(|err| panic!("{err}: {done:?}"));
        (done.code, report)
    }
}

/// The rules of one object's findings of a severity.
fn rules<'v>(object: &'v Value, severity: &str) -> Vec<&'v str> {
    let findings = object["findings"].as_array().expect("findings are a list");
    findings
        .iter()
        .filter(|finding| finding["severity"] == severity)
        .filter_map(|finding| finding["rule"].as_str())
        .collect()
}

/// An InferenceService of one model in the namespace `default`.
fn service(name: &str, predictor: &str) -> String {
    format!(
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {{name: {name}}}\nspec:\n  predictor: \
         {predictor}\n"
    )
}

const GOOD: &str = "{model: {modelFormat: {name: sklearn}, storageUri: 's3://models/iris'}}";
const DENIED: &str = "{minReplicas: 3, maxReplicas: 1, model: {modelFormat: {name: sklearn}}}";
