//! Command line of `stowage`.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use adapter::onnx::EngineChoice;
use clap::{Parser, Subcommand, ValueEnum};
use kit::args::{ByteSize, TelemetryArgs};

use crate::{
    address::{self, Server},
    config::MAX_THREADS,
};

const EXAMPLES: &str = "\
Examples:
  stowage                                    serve ./models, or ./examples/models where there is none
  stowage serve --models ~/nets              serve your own folder of ONNX models
  stowage models                             what is served, and what of it is in memory
  stowage infer iris request.json            ask a model (- reads the request from standard input)

A models folder holds m.onnx, m/model.onnx or m/1/model.onnx, m/2/model.onnx, ...; it is watched while it is served.
Each command explains itself: stowage serve --help";

const SERVE_EXAMPLES: &str = "\
Layouts in the models folder:
  m.onnx                  model m
  m/model.onnx            model m; any name will do when it is the only .onnx file
  m/1/model.onnx          version 1 of m; the highest version answers where none is asked for
  External data files lie beside their model. Hidden and temporary files (.*, *.tmp, *.part) are left alone.

New, changed and removed models follow without a restart. A changed model answers as before until the new one is
loaded. Nothing is loaded before it is asked for; when memory is short, the model that was used least recently goes.

Examples:
  stowage serve --models ~/nets --capacity 2GiB
  stowage serve --rest 8080 --admin 9090         a port alone means 127.0.0.1
  stowage serve --grpc 0.0.0.0:8033              for other machines as well
  stowage serve --onnx-engine builtin            leave ONNX Runtime alone, even if it is installed
  stowage serve --config stowage.toml            the same settings: models = \"nets\", capacity = \"2GiB\", ...

Exit codes: 0 stopped as asked, 1 something failed, 2 wrong usage or configuration.";

const MODELS_EXAMPLES: &str = "\
Examples:
  stowage models
  stowage models -o json
  stowage models --server 10.0.0.7:8033

LAST USED is never for a model that was not asked for; LOADS and EVICTIONS count since the start of the server.";

const INFER_EXAMPLES: &str = "\
FILE is a request of the Open Inference Protocol v2 (JSON):
  {\"inputs\": [{\"name\": \"x\", \"datatype\": \"FP32\", \"shape\": [1, 2], \"data\": [0.5, 1.5]}]}
Names, datatypes and shapes of a model: curl http://127.0.0.1:8008/v2/models/MODEL

Examples:
  stowage infer iris examples/requests/iris.json
  echo '{\"inputs\": [...]}' | stowage infer iris -
  stowage infer net:2 request.json               version 2 of net

Exit codes: 0 answered, 1 refused or failed (the server's reason is on standard error), 2 wrong usage.";

/// Serves ONNX models over the Open Inference Protocol v2, gRPC and REST, from one process.
#[derive(Debug, Parser)]
#[command(name = "stowage", version, after_help = EXAMPLES)]
pub struct Args {
    /// Logging.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,

    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What `stowage` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serves a folder of models; what happens without a command
    Serve(Box<ServeArgs>),
    /// Lists the models of a running server
    Models(ModelsArgs),
    /// Sends one request to a model of a running server and prints the answer
    Infer(InferArgs),
}

/// Flags of `stowage serve`. What is not given comes from `--config`, else from a default.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub struct ServeArgs {
    /// Folder of models [default: models if it exists, else examples/models]
    #[arg(long, env = "STOWAGE_MODELS", value_name = "DIR")]
    pub models: Option<PathBuf>,

    /// Memory for loaded models, like 2GiB or 512MB [default: a quarter of the machine's memory]
    #[arg(long, env = "STOWAGE_CAPACITY", value_name = "SIZE")]
    pub capacity: Option<ByteSize>,

    /// gRPC: inference, management, health, reflection [default: 127.0.0.1:8033]
    #[arg(long, env = "STOWAGE_GRPC", value_name = "ADDR", value_parser = address::listen)]
    pub grpc: Option<SocketAddr>,

    /// REST [default: 127.0.0.1:8008]
    #[arg(long, env = "STOWAGE_REST", value_name = "ADDR", value_parser = address::listen)]
    pub rest: Option<SocketAddr>,

    /// Metrics, probes and a page that shows the models [default: 127.0.0.1:2112]
    #[arg(long, env = "STOWAGE_ADMIN", value_name = "ADDR", value_parser = address::listen)]
    pub admin: Option<SocketAddr>,

    /// These settings as TOML, by the names of the flags; flags win
    #[arg(long, env = "STOWAGE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where to write {"grpc", "rest", "admin"}, the addresses in use, as JSON once all of them listen
    #[arg(long, env = "STOWAGE_ADDRESSES", value_name = "FILE")]
    pub addresses: Option<PathBuf>,

    /// Which inference engines run models [default: auto]
    #[arg(long, env = "STOWAGE_ONNX_ENGINE", value_name = "ENGINE", value_enum)]
    pub onnx_engine: Option<EngineChoice>,

    /// ONNX Runtime's shared library, or its folder [default: beside this program, then where the system's loader looks]
    #[arg(long, env = "ORT_DYLIB_PATH", value_name = "PATH")]
    pub onnx_runtime_library: Option<PathBuf>,

    /// Threads that serve requests [default: one for each core]
    #[arg(long, env = "STOWAGE_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_THREADS)))]
    pub threads: Option<u16>,
}

impl ServeArgs {
    /// What `stowage` without a command means. Ends the program, as wrong flags do, when a variable is wrong.
    pub fn from_environment() -> Self {
        #[derive(Parser)]
        #[command(name = "stowage")]
        struct Serve {
            #[command(flatten)]
            args: ServeArgs,
        }
        Serve::parse_from(["stowage"]).args
    }
}

/// Flags of `stowage models`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = MODELS_EXAMPLES)]
pub struct ModelsArgs {
    /// gRPC address of the server
    #[arg(
        long,
        env = "STOWAGE_SERVER_GRPC",
        value_name = "ADDR",
        default_value = "127.0.0.1:8033"
    )]
    pub server: Server,

    /// How to print
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = Output::Table)]
    pub output: Output,

    /// How long to wait for the server
    #[arg(long, value_name = "TIME", value_parser = kit::args::duration, default_value = "10s")]
    pub timeout: Duration,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

/// Flags of `stowage infer`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = INFER_EXAMPLES)]
pub struct InferArgs {
    /// Name of the model; NAME:VERSION for one version of it
    #[arg(value_name = "MODEL")]
    pub model: String,

    /// Request as JSON, - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// REST address of the server
    #[arg(
        long,
        env = "STOWAGE_SERVER_REST",
        value_name = "ADDR",
        default_value = "127.0.0.1:8008"
    )]
    pub server: Server,

    /// How long to wait for the answer; the first request loads the model
    #[arg(long, value_name = "TIME", value_parser = kit::args::duration, default_value = "2m")]
    pub timeout: Duration,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default() {
        assert!(Args::try_parse_from(["stowage"]).unwrap().command.is_none());
    }

    #[test]
    fn errors_name_flag_and_value() {
        for (args, parts) in [
            (
                &["stowage", "serve", "--grpc", "nowhere"][..],
                &["--grpc", "nowhere", "127.0.0.1:8033"][..],
            ),
            (
                &["stowage", "serve", "--capacity", "big"],
                &["--capacity", "big", "1GiB"],
            ),
            (&["stowage", "serve", "--threads", "0"], &["--threads", "0"]),
            (&["stowage", "models", "-o", "xml"], &["xml", "table", "json"]),
            (&["stowage", "infer", "m"], &["FILE"]),
        ] {
            let err = Args::try_parse_from(args).unwrap_err();
            assert_eq!(err.exit_code(), 2);
            let text = err.to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
    }

    #[test]
    fn help_shows_examples() {
        for (command, example) in [
            ("serve", "stowage serve --models"),
            ("models", "stowage models -o json"),
            ("infer", "stowage infer iris examples/requests/iris.json"),
        ] {
            let help = Args::try_parse_from(["stowage", command, "--help"])
                .unwrap_err()
                .to_string();
            assert!(help.contains(example), "{help}");
        }
    }
}
