//! What is done with calls beyond counting them: a line in the log for each, copies for payload processors.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};
use http::{HeaderMap, HeaderName};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::LOGGED;
use crate::payload::{PayloadMetrics, PayloadOptions, Payloads, ProcessorError, Tap};

/// Setting in the store. Source: upstream.
const LOG_EACH: &str = "log_each_invocation";
/// Header names in `MM_LOG_REQUEST_HEADERS`; more than a few make the log unreadable.
const MAX_HEADERS: usize = 32;

/// See the module's text.
#[derive(Debug, Default)]
pub struct Observers {
    log_each: AtomicBool,
    headers: Vec<LoggedHeader>,
    payloads: Option<Payloads>,
}

/// A request header that goes to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedHeader {
    /// Its name.
    pub header: HeaderName,
    /// What it is called there.
    pub key: String,
}

impl Observers {
    /// With lines for all calls at `info` when `log_each`.
    pub fn new(log_each: bool, headers: Vec<LoggedHeader>, payloads: Option<Payloads>) -> Self {
        Self {
            log_each: AtomicBool::new(log_each),
            headers,
            payloads,
        }
    }

    /// Switches the lines on or off.
    pub fn set_log_each(&self, on: bool) {
        self.log_each.store(on, Ordering::Relaxed);
    }

    pub(super) fn logs_each(&self) -> bool {
        self.log_each.load(Ordering::Relaxed)
    }

    pub(super) fn tap(&self, path: &str, metadata: &HeaderMap) -> Option<Arc<Tap>> {
        self.payloads.as_ref()?.tap(path, metadata)
    }

    /// The configured headers that a request has, as JSON.
    pub(super) fn headers_of(&self, metadata: &HeaderMap) -> Option<String> {
        let found: BTreeMap<_, _> = self
            .headers
            .iter()
            .filter_map(|LoggedHeader { header, key }| {
                let value = metadata.get(header)?.as_bytes();
                let value = value.get(..LOGGED).unwrap_or(value);
                let text = String::from_utf8_lossy(value);
                let text = if header.as_str().ends_with("-bin") {
                    let bytes = BASE64_STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
                    String::from_utf8_lossy(&bytes).into_owned()
                } else {
                    text.into_owned()
                };
                Some((key.as_str(), text))
            })
            .collect();
        if found.is_empty() {
            return None;
        }
        serde_json::to_string(&found).ok()
    }
}

/// Makes the observers, and starts payload processors where there are any. Must be called on a tokio runtime.
pub fn start(
    log_each: bool,
    headers: Vec<LoggedHeader>,
    payloads: Option<PayloadOptions>,
    registry: &mut Registry,
) -> Result<Arc<Observers>, ProcessorError> {
    let payloads = payloads
        .map(|options| {
            let metrics = PayloadMetrics::default();
            metrics.register(registry);
            Payloads::start(options, metrics)
        })
        .transpose()?;
    Ok(Arc::new(Observers::new(log_each, headers, payloads)))
}

/// Does what the setting `log_each_invocation` in the store says, for as long as there is one; else what the flag said.
pub async fn follow_config(
    mut config: watch::Receiver<BTreeMap<String, String>>,
    observers: Arc<Observers>,
    flag: bool,
) {
    loop {
        let setting = config
            .borrow_and_update()
            .get(LOG_EACH)
            .map(|text| text.trim() == "true");
        observers.set_log_each(setting.unwrap_or(flag));
        if config.changed().await.is_err() {
            return;
        }
    }
}

/// What is wrong with `MM_LOG_REQUEST_HEADERS`.
#[derive(Debug, thiserror::Error)]
pub enum LoggedHeadersError {
    /// It is no such JSON.
    #[error("expected JSON like {{\"HEADER\": \"NAME IN THE LOG\"}}: {0}")]
    Json(#[from] serde_json::Error),
    /// A name is none.
    #[error("{0:?} is not the name of a header")]
    Name(String),
    /// There are too many.
    #[error("more than {MAX_HEADERS} headers")]
    TooMany,
}

/// Reads `{"header": "key"}`.
pub fn logged_headers(json: &str) -> Result<Vec<LoggedHeader>, LoggedHeadersError> {
    let map: BTreeMap<String, String> = serde_json::from_str(json)?;
    if map.len() > MAX_HEADERS {
        return Err(LoggedHeadersError::TooMany);
    }
    map.into_iter()
        .map(|(name, key)| {
            let header =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| LoggedHeadersError::Name(name))?;
            Ok(LoggedHeader { header, key })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn headers_become_json() {
        let headers =
            logged_headers(r#"{"X-Tenant": "tenant", "trace-bin": "trace", "other": "other"}"#).unwrap();
        let observers = Observers::new(true, headers, None);
        let metadata = HeaderMap::from_iter([
            (
                HeaderName::from_static("x-tenant"),
                HeaderValue::from_static("acme \"x\""),
            ),
            (
                HeaderName::from_static("trace-bin"),
                HeaderValue::from_static("w6k="),
            ),
            (
                HeaderName::from_static("authorization"),
                HeaderValue::from_static("secret"),
            ),
        ]);
        assert_eq!(
            observers.headers_of(&metadata).unwrap(),
            r#"{"tenant":"acme \"x\"","trace":"é"}"#
        );
        assert_eq!(observers.headers_of(&HeaderMap::new()), None);
        assert!(logged_headers("[]").is_err());
        assert!(
            logged_headers(r#"{"a b": "x"}"#)
                .unwrap_err()
                .to_string()
                .contains("a b")
        );
    }
}
