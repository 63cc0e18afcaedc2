//! The handshake with the runtime.

use std::time::Duration;

use api::mmesh::{RuntimeStatusResponse, runtime_status_response::Status as State};
use tokio::time::Instant;

use super::StartError;
use crate::runtime::Runtime;

/// First waits between two questions; they double up to [`MAX_POLL`].
const MIN_POLL: Duration = Duration::from_millis(100);
/// Longest wait between two questions.
const MAX_POLL: Duration = Duration::from_secs(2);
/// Shortest load time-out that makes sense.
const MIN_LOAD_TIMEOUT_MS: u64 = 100;
/// A capacity from here on is enough, whatever the default size is.
const AMPLE_CAPACITY: u64 = 512 << 20;

/// Asks until the runtime is READY.
pub(super) async fn ready(
    runtime: &dyn Runtime,
    within: Duration,
) -> Result<RuntimeStatusResponse, StartError> {
    let deadline = Instant::now() + within;
    let mut last = "none".to_owned();
    let mut poll = MIN_POLL;
    loop {
        match tokio::time::timeout_at(deadline, runtime.status()).await {
            Ok(Ok(status)) => match State::try_from(status.status) {
                Ok(State::Ready) => return Ok(status),
                Ok(State::Starting) => "STARTING".clone_into(&mut last),
                Ok(State::Failing) => return Err(StartError::Failing),
                Err(_) => return Err(StartError::UnknownState { got: status.status }),
            },
            Ok(Err(err)) => last = format!("{:?}: {}", err.code(), err.message()),
            Err(_) => return Err(StartError::NotReady { after: within, last }),
        }
        if Instant::now() + poll >= deadline {
            return Err(StartError::NotReady { after: within, last });
        }
        tracing::debug!(answer = %last, "runtime is not ready");
        tokio::time::sleep(poll).await;
        poll = (poll * 2).min(MAX_POLL);
    }
}

/// Refuses limits with which nothing could be served.
pub(super) fn check(status: &RuntimeStatusResponse) -> Result<(), StartError> {
    let default_size = status.default_model_size_in_bytes;
    let wanted = default_size
        .saturating_mul(10)
        .min(AMPLE_CAPACITY)
        .max(default_size.saturating_mul(2));
    at_least(
        "maxLoadingConcurrency",
        u64::from(status.max_loading_concurrency),
        1,
    )?;
    at_least(
        "modelLoadingTimeoutMs",
        u64::from(status.model_loading_timeout_ms),
        MIN_LOAD_TIMEOUT_MS,
    )?;
    at_least("defaultModelSizeInBytes", default_size, 1)?;
    at_least("capacityInBytes", status.capacity_in_bytes, wanted)
}

fn at_least(field: &'static str, got: u64, least: u64) -> Result<(), StartError> {
    if got >= least {
        return Ok(());
    }
    let mut rule = format!("at least {least}");
    if field == "capacityInBytes" {
        rule.push_str(" (twice the default model size, and ten times that up to 512 MiB)");
    }
    Err(StartError::Limit { field, got, rule })
}

#[cfg(test)]
mod tests {
    use api::mmesh::RuntimeStatusResponse;

    use super::check;

    fn sound() -> RuntimeStatusResponse {
        RuntimeStatusResponse {
            capacity_in_bytes: 1 << 30,
            default_model_size_in_bytes: 50 << 20,
            max_loading_concurrency: 6,
            model_loading_timeout_ms: 90_000,
            ..RuntimeStatusResponse::default()
        }
    }

    fn refused(change: impl FnOnce(&mut RuntimeStatusResponse)) -> String {
        let mut status = sound();
        change(&mut status);
        check(&status).map_or_else(|err| err.to_string(), |()| "accepted".into())
    }

    #[test]
    fn limits_that_cannot_serve_are_named() {
        assert_eq!(refused(|_| ()), "accepted");
        let cases = [
            (
                refused(|s| s.max_loading_concurrency = 0),
                "maxLoadingConcurrency is 0, must be at least 1",
            ),
            (
                refused(|s| s.model_loading_timeout_ms = 99),
                "modelLoadingTimeoutMs is 99, must be at least 100",
            ),
            (
                refused(|s| s.default_model_size_in_bytes = 0),
                "defaultModelSizeInBytes is 0, must be at least 1",
            ),
        ];
        for (got, wanted) in cases {
            assert!(got.ends_with(wanted), "{got}");
        }
        assert_eq!(
            refused(|s| s.capacity_in_bytes = 500 << 20),
            "accepted",
            "ten times the default size"
        );
        assert!(refused(|s| s.capacity_in_bytes = (500 << 20) - 1).contains("must be at least 524288000"));
        assert_eq!(refused(|s| s.default_model_size_in_bytes = 200 << 20), "accepted");
        assert!(refused(|s| s.default_model_size_in_bytes = u64::MAX).contains("capacityInBytes"));
    }
}
