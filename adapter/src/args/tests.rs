use clap::Parser as _;

use super::*;

fn config(args: &[&str]) -> Result<(OnnxOptions, ServerConfig), String> {
    let args = [&["stowage-adapter", "onnx"], args].concat();
    let parsed = Args::try_parse_from(args).map_err(|error| error.to_string())?;
    let Command::Onnx(onnx) = parsed.command;
    onnx.config().map_err(|error| error.to_string())
}

#[test]
fn defaults_are_those_of_modelmesh() {
    let (options, server) = config(&["--container-mem-req-bytes", "1GiB"]).unwrap();
    assert_eq!(options.capacity_bytes, (1 << 30) - 268_435_456);
    assert_eq!(options.loading_concurrency, 1);
    assert_eq!(options.load_timeout, Duration::from_secs(30));
    assert_eq!(options.default_model_bytes, 1_000_000);
    assert_eq!(options.per_model_concurrency, None);
    assert_eq!(server.management.to_string(), "127.0.0.1:8085");
    assert_eq!(
        server.inference.map(|listen| listen.to_string()).as_deref(),
        Some("127.0.0.1:8001")
    );
}

#[test]
fn the_same_endpoint_serves_both() {
    let memory = "--container-mem-req-bytes=1GiB";
    let (_, server) = config(&[memory, "--adapter-port=9000", "--runtime-port=9000"]).unwrap();
    assert_eq!(server.inference, None);
    let socket = ["--adapter-socket=/tmp/a.sock", "--runtime-socket=/tmp/a.sock"];
    let (_, server) = config(&[&[memory], &socket[..]].concat()).unwrap();
    assert_eq!(
        (server.management.to_string().as_str(), server.inference),
        ("unix:/tmp/a.sock", None)
    );
}

#[track_caller]
fn refused(args: &[&str], parts: &[&str]) {
    let text = config(args).unwrap_err();
    for part in parts {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn bad_values_are_named() {
    let memory = "--container-mem-req-bytes=1GiB";
    refused(
        &[],
        &["CONTAINER_MEM_REQ_BYTES", "--container-mem-req-bytes", "1GiB"],
    );
    refused(
        &["--container-mem-req-bytes=1KiB"],
        &["CONTAINER_MEM_REQ_BYTES (1024)", "MEM_BUFFER_BYTES (268435456)"],
    );
    refused(
        &["--container-mem-req-bytes=-1"],
        &["--container-mem-req-bytes", "-1"],
    );
    refused(
        &[memory, "--loading-concurrency=0"],
        &["--loading-concurrency", "0"],
    );
    refused(&[memory, "--loadtime-timeout="], &["--loadtime-timeout"]);
    refused(
        &[memory, "--modelsize-multiplier=0"],
        &["MODELSIZE_MULTIPLIER", "more than 0"],
    );
    refused(
        &[memory, "--modelsize-multiplier=NaN"],
        &["MODELSIZE_MULTIPLIER", "more than 0"],
    );
    refused(
        &[memory, "--root-model-dir=/nowhere"],
        &["ROOT_MODEL_DIR", "/nowhere"],
    );
    refused(&[memory, "--adapter-port=99999"], &["--adapter-port", "99999"]);
}
