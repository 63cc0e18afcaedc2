//! `stowage-webhook check`: the server's verdicts for files, without a cluster.
//!
//! ```text
//! arguments ─ files ─► texts ─ yaml, manifest ─► objects ─┬─ context (what rules look up)
//!                                                         └─ verdict (default, validate) ─► report
//! ```
//!
//! Nothing of an input is trusted: sizes, depths and aliases are bounded, and what cannot be read costs only itself.

mod context;
mod files;
mod manifest;
mod report;
mod run;
mod verdict;
mod yaml;

use std::{
    env,
    io::{self, BufWriter, IsTerminal as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, ValueEnum};

pub use report::Format;

use self::{
    report::{Style, Totals},
    run::{Plan, Report},
};
use crate::{args::RuleArgs, finding::Severity};

const EXAMPLES: &str = "\
Examples:
  stowage-webhook check manifests/                      every .yaml, .yml and .json of a folder
  kustomize build overlays/prod | stowage-webhook check -
  stowage-webhook check service.yaml --mode strict --context cluster/
  stowage-webhook check new/ --old old/ -o github

Exit codes: 0 all allowed, 1 something was denied, 2 wrong usage, or an input that is no Kubernetes
object (the rest is checked all the same).";

/// Flags of `check`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    /// Files, folders, or - for standard input: YAML or JSON, several documents, lists, other kinds in between
    #[arg(required = true, value_name = "FILE|DIR|-")]
    pub files: Vec<PathBuf>,

    /// What verdicts depend on.
    #[command(flatten)]
    pub rules: RuleArgs,

    /// What rules may look up: runtimes, the ConfigMap inferenceservice-config, storage Secrets (names of keys only) and others,
    /// as in the cluster. A kind that is here is known in full. Again for more
    #[arg(long, value_name = "FILE|DIR")]
    pub context: Vec<PathBuf>,

    /// The objects as they are stored now, so that rules of updates and ratcheting apply. Again for more
    #[arg(long, value_name = "FILE|DIR")]
    pub old: Vec<PathBuf>,

    /// The namespace of objects that name none
    #[arg(short, long, default_value = "default")]
    pub namespace: String,

    /// How findings are printed
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,

    /// The least that makes the exit code 1
    #[arg(long, value_enum, default_value_t)]
    pub fail_on: FailOn,
}

/// What fails a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// A denied object
    #[default]
    Deny,
    /// Any finding that is not suppressed
    Warn,
}

/// Checks, prints, and tells by the exit code.
pub fn main(args: &CheckArgs) -> ExitCode {
    let CheckArgs {
        files,
        rules,
        context,
        old,
        namespace,
        output,
        fail_on,
    } = args;
    let options = rules.options();
    let style = Style {
        format: *output,
        color: io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        mode: options.mode,
        fail_on: match fail_on {
            FailOn::Deny => Severity::Deny,
            FailOn::Warn => Severity::Warn,
        },
    };
    let report = run::run(&Plan {
        files: files.clone(),
        context: context.clone(),
        old: old.clone(),
        namespace: namespace.clone(),
        options,
        keep_defaulted: *output == Format::Json,
        kept_bytes: run::KEPT_BYTES,
    });
    let mut out = BufWriter::new(io::stdout().lock());
    match report::print(&report, style, &mut out, &mut io::stderr().lock()) {
        Ok(()) => {}
        // Who reads has seen enough, as in `| head`: the exit code still tells.
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => {}
        Err(err) => {
            eprintln!("error: print findings: {err}");
            return ExitCode::from(kit::exit::FAILED);
        }
    }
    ExitCode::from(exit_code(&report, style))
}

fn exit_code(report: &Report, style: Style) -> u8 {
    let totals = Totals::of(report);
    if totals.unreadable > 0 {
        kit::exit::USAGE
    } else if totals.fails(style.fail_on) {
        kit::exit::FAILED
    } else {
        kit::exit::OK
    }
}
