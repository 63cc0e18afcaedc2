//! Logs: one subscriber per process, JSON where a machine reads, text where a person does.
//!
//! Field names, so that one query works over all services: `model` (concrete model id), `vmodel`, `request_id`,
//! `method` (full gRPC method path), `code` (gRPC code by name), `error` (`%err`, the cause chain in one line), `addr`
//! (socket address), `bytes`, `elapsed_ms`, `attempt`. The message is constant text, lower case, without a full stop.
//!
//! Levels: `error` someone must look; `warn` unexpected but handled; `info` state changes; `debug` per request.
//! Secrets (model keys, credentials) are never a field.

use std::{
    fmt,
    io::{self, IsTerminal},
    panic,
    str::FromStr,
};

use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt::MakeWriter, util::SubscriberInitExt};

use crate::args::TelemetryArgs;

/// How log lines are written.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

/// What is logged; checked when the flag is parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match EnvFilter::try_new(text) {
            Ok(_) => Ok(Self(text.into())),
            Err(err) => Err(format!(
                "{err}; write a level (error, warn, info, debug, trace, off) or rules like \"info,router=debug\""
            )),
        }
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The process has a subscriber already.
#[derive(Debug, thiserror::Error)]
#[error("logging was set up twice")]
pub struct InitError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// Sets up logging on stderr, and logs panics like any other error. Once per process.
pub fn init(args: &TelemetryArgs) -> Result<(), InitError> {
    let TelemetryArgs { log, log_format } = args;
    let terminal = io::stderr().is_terminal();
    let format = log_format.unwrap_or(if terminal {
        LogFormat::Text
    } else {
        LogFormat::Json
    });
    install(log, format, terminal, io::stderr)
        .try_init()
        .map_err(|err| InitError(err.into()))?;
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// The subscriber; apart from `init` so that tests can read what it writes.
fn install<W>(
    filter: &LogFilter,
    format: LogFormat,
    color: bool,
    writer: W,
) -> Box<dyn tracing::Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(rules(&filter.0))
        .with_writer(writer)
        .with_ansi(color && format == LogFormat::Text);
    match format {
        LogFormat::Json => Box::new(builder.json().flatten_event(true).with_span_list(false).finish()),
        LogFormat::Text => Box::new(builder.finish()),
    }
}

/// Rules for `filter`. A library that watches files says at info what is of no interest to operators; a rule of one's own
/// brings it back.
fn rules(filter: &str) -> EnvFilter {
    let rules = EnvFilter::new(filter);
    if rules.max_level_hint() < Some(LevelFilter::INFO) {
        return rules;
    }
    EnvFilter::new(format!("notify=warn,{filter}"))
}

fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("payload is no text");
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(error = message, location, "panic");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(filter: &str, format: LogFormat, log: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber = install(&filter.parse().unwrap(), format, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, log);
        String::from_utf8(buffer.0.lock().clone()).unwrap()
    }

    #[test]
    fn json_lines_carry_fields_and_span() {
        let line = logged("info", LogFormat::Json, || {
            let _span = tracing::info_span!("request", request_id = "r1").entered();
            tracing::info!(model = "m", bytes = 7, "model loaded");
            tracing::debug!("not shown");
        });
        assert_eq!(line.lines().count(), 1, "{line}");
        for part in [
            r#""message":"model loaded""#,
            r#""model":"m""#,
            r#""bytes":7"#,
            r#""request_id":"r1""#,
            r#""level":"INFO""#,
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }

    #[test]
    fn text_has_no_escapes_off_a_terminal() {
        let line = logged("debug", LogFormat::Text, || {
            tracing::debug!(model = "m", "model loaded");
        });
        assert!(
            line.contains("model loaded model=\"m\"") && !line.contains('\u{1b}'),
            "{line}"
        );
    }

    #[test]
    fn a_noisy_library_is_heard_when_asked() {
        let noise = |filter| {
            logged(filter, LogFormat::Text, || {
                tracing::info!(target: "notify::inotify", "noise");
            })
        };
        assert_eq!(noise("info"), "");
        assert!(noise("info,notify=info").contains("noise"));
    }

    #[test]
    fn rules_select_by_module() {
        let text = logged("error,kit=debug", LogFormat::Text, || {
            tracing::debug!("ours");
            tracing::warn!(target: "other", "theirs");
        });
        assert!(text.contains("ours") && !text.contains("theirs"), "{text}");
    }
}
