use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::create_dir_all(dir.path().join("nets")).unwrap();
    dir
}

fn args(dir: &TempDir) -> ServeArgs {
    ServeArgs {
        models: Some(dir.path().join("nets")),
        ..ServeArgs::default()
    }
}

fn with_file(dir: &TempDir, text: &str) -> Result<Config, ConfigError> {
    fs::write(dir.path().join("stowage.toml"), text).unwrap();
    Config::new(
        ServeArgs {
            config: Some("stowage.toml".into()),
            ..ServeArgs::default()
        },
        dir.path(),
    )
}

#[test]
fn defaults_are_on_loopback() {
    let dir = folder();
    let config = Config::new(args(&dir), dir.path()).unwrap();
    assert_eq!(config.grpc.to_string(), "127.0.0.1:8033");
    assert_eq!(config.rest.to_string(), "127.0.0.1:8008");
    assert_eq!(config.admin.to_string(), "127.0.0.1:2112");
    assert!(config.capacity >= MIN_CAPACITY);
    assert_eq!(config.addresses, None);
}

#[test]
fn the_usual_folders_are_found_in_order() {
    let dir = folder();
    let found = |dir: &TempDir| Config::new(ServeArgs::default(), dir.path()).map(|config| config.models);
    assert!(matches!(found(&dir), Err(ConfigError::NoModels)));
    fs::create_dir_all(dir.path().join("examples/models")).unwrap();
    assert_eq!(found(&dir).unwrap(), dir.path().join("examples/models"));
    fs::create_dir(dir.path().join("models")).unwrap();
    assert_eq!(found(&dir).unwrap(), dir.path().join("models"));
}

#[test]
fn a_file_says_the_same_and_flags_win() {
    let dir = folder();
    let text = "# ours\nmodels = \"nets\"\ncapacity = \"1GiB\"\ngrpc = \"9000\"\nrest = \"0.0.0.0:9001\"\nthreads = 3\n\
                addresses = \"run/addresses.json\"\nonnx-engine = \"builtin\"\nonnx-runtime-library = \"lib/ort.so\"\n";
    let config = with_file(&dir, text).unwrap();
    assert_eq!(config.models, dir.path().join("nets"));
    assert_eq!(config.capacity, ByteSize(1 << 30));
    assert_eq!(config.grpc.to_string(), "127.0.0.1:9000");
    assert_eq!(config.rest.to_string(), "0.0.0.0:9001");
    assert_eq!(config.admin.port(), 2112);
    assert_eq!(config.threads, Some(3));
    assert_eq!(config.addresses, Some(dir.path().join("run/addresses.json")));

    assert_eq!(config.engine, EngineChoice::Builtin);
    assert_eq!(config.ort_library, Some(dir.path().join("lib/ort.so")));

    let flags = ServeArgs {
        capacity: Some(ByteSize(2 << 30)),
        onnx_engine: Some(EngineChoice::Ort),
        grpc: Some("127.0.0.1:7".parse().unwrap()),
        config: Some(dir.path().join("stowage.toml")),
        ..ServeArgs::default()
    };
    let config = Config::new(flags, Path::new("/")).unwrap();
    assert_eq!((config.capacity, config.grpc.port()), (ByteSize(2 << 30), 7));
    assert_eq!(config.engine, EngineChoice::Ort);
    assert_eq!(
        config.models,
        dir.path().join("nets"),
        "relative to the file, not to the working directory"
    );
    assert_eq!(
        with_file(&dir, "models = \"nets\"\ncapacity = 1073741824")
            .unwrap()
            .capacity,
        ByteSize(1 << 30)
    );
}

#[test]
fn wrong_files_are_refused_in_one_line() {
    let dir = folder();
    for (text, parts) in [
        (
            "modles = \"nets\"",
            &["stowage.toml", "line 1", "modles", "models"][..],
        ),
        (
            "models = \"nets\"\n\ncapacity = \"big\"",
            &["line 3", "big", "1GiB"],
        ),
        ("models = \"nets\"\ncapacity = true", &["line 2", "2GiB"]),
        ("grpc = \"nowhere\"", &["line 1", "nowhere", "127.0.0.1:8033"]),
        ("models = \"nets\"\nthreads = 0", &["--threads 0", "1 to 1024"]),
        ("threads = 70000", &["line 1", "70000"]),
        (
            "onnx-engine = \"tensorflow\"",
            &["line 1", "tensorflow", "builtin"],
        ),
        ("models = ", &["line 1"]),
        ("models = \"nets\"\nmodels = \"nets\"", &["line 2", "duplicate"]),
        (&"#".repeat(100_000), &["longer than"]),
    ] {
        let err = with_file(&dir, text).unwrap_err().to_string();
        assert!(parts.iter().all(|part| err.contains(part)), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    let missing = ServeArgs {
        config: Some("nowhere.toml".into()),
        ..args(&dir)
    };
    assert!(
        Config::new(missing, dir.path())
            .unwrap_err()
            .to_string()
            .contains("nowhere.toml")
    );
}

#[test]
fn wrong_settings_are_refused() {
    let dir = folder();
    let refused = |args| Config::new(args, dir.path()).unwrap_err().to_string();
    let addr: SocketAddr = "127.0.0.1:9000".parse().unwrap();

    let text = refused(ServeArgs {
        grpc: Some(addr),
        admin: Some(addr),
        ..args(&dir)
    });
    assert_eq!(
        text,
        "--grpc and --admin are both 127.0.0.1:9000; each needs a port of its own"
    );
    let text = refused(ServeArgs {
        capacity: Some(ByteSize(1 << 20)),
        ..args(&dir)
    });
    assert_eq!(text, "--capacity 1MiB is too small; at least 10MB is needed");
    let text = refused(ServeArgs {
        models: Some("nowhere".into()),
        ..ServeArgs::default()
    });
    assert!(text.starts_with("--models nowhere: "), "{text}");
    fs::write(dir.path().join("m.onnx"), "").unwrap();
    let text = refused(ServeArgs {
        models: Some("m.onnx".into()),
        ..ServeArgs::default()
    });
    assert!(text.contains("is a file"), "{text}");
}

#[test]
fn any_number_of_listeners_may_ask_for_a_free_port() {
    let dir = folder();
    let any = Some("127.0.0.1:0".parse().unwrap());
    assert!(
        Config::new(
            ServeArgs {
                grpc: any,
                rest: any,
                admin: any,
                ..args(&dir)
            },
            dir.path()
        )
        .is_ok()
    );
}
