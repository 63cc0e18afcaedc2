//! Flag groups and typed values for clap.

mod bytes;

use std::time::Duration;

pub use bytes::{ByteSize, ByteSizeError};

use crate::telemetry::{LogFilter, LogFormat};

/// Flags of logging; flatten into a service's own.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Logging")]
pub struct TelemetryArgs {
    /// What is logged: a level (error, warn, info, debug, trace), or rules like "info,router=debug"
    #[arg(
        long = "log",
        env = "STOWAGE_LOG",
        value_name = "FILTER",
        default_value = "info",
        global = true
    )]
    pub log: LogFilter,

    /// How it is written [default: text on a terminal, else json]
    #[arg(
        long,
        env = "STOWAGE_LOG_FORMAT",
        value_name = "FORMAT",
        value_enum,
        global = true
    )]
    pub log_format: Option<LogFormat>,
}

/// Parses `30s`, `1m 30s`, `250ms`: `#[arg(value_parser = kit::args::duration)]`.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim())
        .map_err(|err| format!("{err}; write a number with its unit, like 250ms, 30s or 5m"))
}

/// As [`duration`], and a bare number is seconds: for variables whose name ends in `_SECS`.
pub fn duration_secs(text: &str) -> Result<Duration, String> {
    match text.trim().parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => duration(text),
    }
}

/// As [`duration`], and a bare number is milliseconds: for variables whose name ends in `_MS`.
pub fn duration_ms(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text
            .parse()
            .map(Duration::from_millis)
            .map_err(|_| format!("{text} milliseconds are too many; the most is {}", u64::MAX));
    }
    duration(text)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        telemetry: TelemetryArgs,
        #[arg(long, value_parser = duration, default_value = "30s")]
        grace: Duration,
        #[arg(long, default_value = "1GiB")]
        capacity: ByteSize,
    }

    #[test]
    fn flags_become_typed_values() {
        let cli = Cli::try_parse_from(["x", "--log", "warn,kit=debug", "--log-format", "json"]).unwrap();
        assert_eq!(cli.telemetry.log.to_string(), "warn,kit=debug");
        assert_eq!(cli.telemetry.log_format, Some(LogFormat::Json));
        assert_eq!(cli.grace, Duration::from_secs(30));
        assert_eq!(cli.capacity, ByteSize(1 << 30));
    }

    #[test]
    fn errors_name_flag_value_and_rule() {
        for (args, parts) in [
            (["x", "--grace", "30"], ["--grace", "30", "250ms"]),
            (
                ["x", "--capacity", "1 furlong"],
                ["--capacity", "1 furlong", "GiB"],
            ),
            (["x", "--log", "kit=loud"], ["--log", "kit=loud", "level"]),
        ] {
            let Err(err) = Cli::try_parse_from(args) else {
                panic!("{args:?} was accepted")
            };
            let text = err.to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
            assert_eq!(err.exit_code(), 2);
        }
    }

    #[test]
    fn milliseconds_may_be_bare() {
        assert_eq!(duration_ms("1500"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration_ms("2s"), Ok(Duration::from_secs(2)));
        assert!(duration_ms("").is_err());
        assert!(
            duration_ms("99999999999999999999")
                .unwrap_err()
                .contains("too many")
        );
        assert!(duration_ms("-1").is_err());
    }
}
