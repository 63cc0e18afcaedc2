//! The program itself: names, configuration errors, a signal.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::{fs::symlink, process::CommandExt as _},
    path::Path,
    process::{Command, Output, Stdio},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_stowage-adapter");

/// The program with an environment of nothing but these variables.
fn command(args: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args).env_clear().envs(env.iter().copied());
    command
}

#[track_caller]
pub(crate) fn refused(output: &Output, parts: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} in {text}");
    }
}

#[test]
fn bad_configuration_ends_with_2_and_a_line_that_says_what() {
    let run = |env: &[(&str, &str)]| command(&["onnx"], env).output().unwrap();
    refused(&run(&[]), &["CONTAINER_MEM_REQ_BYTES"]);
    refused(
        &run(&[("CONTAINER_MEM_REQ_BYTES", "")]),
        &["container-mem-req-bytes"],
    );
    refused(
        &run(&[("CONTAINER_MEM_REQ_BYTES", "-1")]),
        &["-1", "container-mem-req-bytes"],
    );
    refused(
        &run(&[("CONTAINER_MEM_REQ_BYTES", "5")]),
        &["error: CONTAINER_MEM_REQ_BYTES (5) must be more than"],
    );
    let memory = ("CONTAINER_MEM_REQ_BYTES", "1GiB");
    refused(&run(&[memory, ("ADAPTER_PORT", "x")]), &["'x'", "adapter-port"]);
    refused(
        &run(&[memory, ("LOADING_CONCURRENCY", "0")]),
        &["loading-concurrency"],
    );
    refused(
        &run(&[memory, ("MODELSIZE_MULTIPLIER", "-1")]),
        &["MODELSIZE_MULTIPLIER"],
    );
    refused(
        &run(&[memory, ("ROOT_MODEL_DIR", "/nowhere")]),
        &["ROOT_MODEL_DIR /nowhere is not a folder"],
    );
    refused(&command(&["tensorflow"], &[]).output().unwrap(), &["tensorflow"]);
}

/// Starts the program, waits until it says that it serves, tells it to stop; answers what it said until it served.
pub(crate) fn serves_and_stops(mut command: Command, folder: &Path) -> String {
    let socket = folder.join("adapter.sock");
    let mut child = command
        .env("CONTAINER_MEM_REQ_BYTES", "1GiB")
        .env("STOWAGE_ADAPTER_SOCKET", &socket)
        .env("STOWAGE_RUNTIME_SOCKET", &socket)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    while !said.contains("serving") {
        let line = lines.next().expect("it ended without serving").unwrap();
        said.push_str(&line);
        said.push('\n');
    }
    assert!(socket.exists());
    let stopped = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(stopped.success());
    assert!(lines.all(|line| line.is_ok()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!socket.exists());
    said
}

#[test]
fn it_is_called_by_argument_or_by_name() {
    let folder = tempfile::tempdir().unwrap();
    serves_and_stops(command(&["onnx"], &[]), folder.path());
    let link = folder.path().join("onnx-adapter");
    symlink(PROGRAM, &link).unwrap();
    let mut by_link = Command::new(link);
    by_link.env_clear();
    serves_and_stops(by_link, folder.path());
    let mut by_name = command(&[], &[]);
    by_name.arg0("/opt/app/onnx-adapter");
    serves_and_stops(by_name, folder.path());
}
