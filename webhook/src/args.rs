//! Command line of `stowage-webhook`. The flags of each sub-command stand beside it; here is what they share.

use clap::{Parser, Subcommand, ValueEnum};
use kit::args::TelemetryArgs;

#[cfg(feature = "serve")]
use crate::serve::ServeArgs;
use crate::{
    check::CheckArgs,
    explain::ExplainArgs,
    policies::PoliciesArgs,
    review::{HpaTarget, Mode, Options},
};

#[cfg(feature = "serve")]
const EXAMPLES: &str = "\
Examples:
  stowage-webhook serve --cert-dir /certs        admission server with a certificate that is mounted
  stowage-webhook serve --self-managed           admission server that makes and rotates its own certificates
  stowage-webhook check manifests/               the server's verdicts for files, without a cluster
  stowage-webhook explain IS-C05                 what a rule is about, and what to do
  stowage-webhook policies | kubectl apply -f -  the rules that need no server, as admission policies

Each command explains itself: stowage-webhook serve --help

Exit codes: 0 stopped as asked or nothing denied, 1 something failed or was denied, 2 wrong usage or configuration.";

#[cfg(not(feature = "serve"))]
const EXAMPLES: &str = "\
Examples:
  stowage-webhook check manifests/               the admission server's verdicts for files, without a cluster
  stowage-webhook explain IS-C05                 what a rule is about, and what to do
  stowage-webhook policies | kubectl apply -f -  the rules that need no server, as admission policies

This build leaves out the admission server itself. Each command explains itself: stowage-webhook check --help

Exit codes: 0 nothing denied, 1 something failed or was denied, 2 wrong usage or configuration.";

/// Defaults and validates InferenceService, ServingRuntime and friends
#[derive(Debug, Parser)]
#[command(name = "stowage-webhook", version, after_help = EXAMPLES)]
pub struct Args {
    /// Logging.
    #[command(flatten)]
    pub telemetry: TelemetryArgs,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `stowage-webhook` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answers the admission reviews of an API server
    #[cfg(feature = "serve")]
    Serve(Box<ServeArgs>),
    /// Gives the server's verdicts for files, without a cluster
    Check(Box<CheckArgs>),
    /// Prints ValidatingAdmissionPolicy manifests of the rules that need no server
    Policies(PoliciesArgs),
    /// Explains a rule, or lists the rules of a kind
    Explain(ExplainArgs),
}

/// What verdicts depend on, whoever asks; flatten into a sub-command's flags.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Verdicts")]
pub struct RuleArgs {
    /// compat: KServe's and ModelMesh Serving's verdicts, what their controllers find out later is a warning; strict: that
    /// is denied too
    #[arg(long, env = "STOWAGE_MODE", value_enum, default_value_t, value_name = "MODE")]
    pub mode: ModeArg,

    /// Whether an update that leaves an offence of the stored object as it is passes with a warning
    #[arg(
        long,
        env = "STOWAGE_RATCHET",
        value_enum,
        default_value_t,
        value_name = "ON|OFF"
    )]
    pub ratchet: Switch,

    /// Whether objects may ask to be spared a finding by the annotation stowage.dev/suppress.RULE: reason
    #[arg(
        long,
        env = "STOWAGE_SUPPRESSIONS",
        value_enum,
        default_value_t,
        value_name = "ON|OFF"
    )]
    pub suppressions: Switch,

    /// How the scaleTarget of an HPA on memory is checked
    #[arg(
        long,
        env = "STOWAGE_HPA_TARGET",
        value_enum,
        default_value_t,
        value_name = "RULE"
    )]
    pub hpa_target: HpaTargetArg,
}

impl RuleArgs {
    /// What the rules take.
    pub fn options(&self) -> Options {
        Options {
            mode: match self.mode {
                ModeArg::Compat => Mode::Compat,
                ModeArg::Strict => Mode::Strict,
            },
            ratchet: self.ratchet.is_on(),
            suppressions: self.suppressions.is_on(),
            hpa_target: match self.hpa_target {
                HpaTargetArg::Kserve020 => HpaTarget::Kserve020,
                HpaTargetArg::Percentage => HpaTarget::Percentage,
            },
        }
    }
}

/// [`Mode`] as a flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// Upstream's verdicts
    #[default]
    Compat,
    /// Also denies what upstream finds later
    Strict,
}

/// [`HpaTarget`] as a flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum HpaTargetArg {
    /// As KServe 0.20: at most 100 whatever the metric
    #[default]
    #[value(name = "kserve-0.20")]
    Kserve020,
    /// As KServe after 0.20: a percentage, 1 to 100
    Percentage,
}

/// A flag that is on unless it is switched off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Yes
    #[default]
    On,
    /// No
    Off,
}

impl Switch {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

#[cfg(all(test, feature = "serve"))]
mod tests {
    use super::*;

    fn serve(args: &[&str]) -> Result<Box<ServeArgs>, String> {
        let all = [&["stowage-webhook", "serve"], args].concat();
        let Args { command, .. } = Args::try_parse_from(all).map_err(|err| err.to_string())?;
        let Command::Serve(serve) = command else {
            return Err(format!("another command: {command:?}"));
        };
        Ok(serve)
    }

    #[test]
    fn verdicts_are_upstreams_by_default() {
        let options = serve(&["--cert-dir", "/certs"]).unwrap().rules.options();
        assert_eq!((options.mode, options.ratchet), (Mode::Compat, true));
    }

    #[test]
    fn verdicts_can_be_set() {
        let flags = [
            "--cert-dir",
            "/c",
            "--mode",
            "strict",
            "--ratchet",
            "off",
            "--suppressions",
            "off",
        ];
        let options = serve(&flags).unwrap().rules.options();
        assert_eq!(
            (options.mode, options.ratchet, options.suppressions),
            (Mode::Strict, false, false)
        );
    }

    #[test]
    fn mistakes_name_the_flag() {
        let err = serve(&["--cert-dir", "/c", "--mode", "loose"]).unwrap_err();
        assert!(err.contains("--mode") && err.contains("compat, strict"), "{err}");
        let err = serve(&["--cert-dir", "/c", "--self-managed"]).unwrap_err();
        assert!(err.contains("--self-managed"), "{err}");
        assert!(serve(&[]).unwrap_err().contains("--cert-dir"));
    }
}
