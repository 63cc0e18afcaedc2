//! Why the cache could not give a copy, and what a client is told.

use std::time::Duration;

use tonic::{Code, Status};

use super::CacheOptions;
use crate::core::copies::{Cause, Refusal};

/// Why [`Cache::start`](super::Cache::start) gave up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The runtime said that it cannot work.
    #[error("runtime reports FAILING")]
    Failing,
    /// The runtime answered something that is no state.
    #[error("runtime status field status is {got}, must be STARTING (0), READY (1) or FAILING (2)")]
    UnknownState {
        /// Its value.
        got: i32,
    },
    /// The runtime was not READY in time.
    #[error("runtime was not ready after {after:?}; last answer: {last}")]
    NotReady {
        /// How long it was asked.
        after: Duration,
        /// Last state or error.
        last: String,
    },
    /// The runtime's limits make no sense.
    #[error("runtime status field {field} is {got}, must be {rule}")]
    Limit {
        /// Field of `RuntimeStatusResponse`.
        field: &'static str,
        /// Its value.
        got: u64,
        /// What would be right.
        rule: String,
    },
}

/// Why a request got no copy of a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// The model does not fit, even alone.
    #[error("model {id} needs {size_bytes} bytes, more than the {capacity_bytes} bytes this runtime can use")]
    TooLarge {
        /// Model.
        id: String,
        /// Its predicted or measured size.
        size_bytes: u64,
        /// Bytes that can be used at all.
        capacity_bytes: u64,
    },
    /// The runtime refused the load; nobody tries again before the backoff is over.
    #[error("{message}")]
    LoadFailed {
        /// What the runtime said.
        message: String,
        /// Time of the failure, ms since the epoch.
        at_ms: u64,
        /// Time before which nobody tries again, ms since the epoch.
        retry_at_ms: u64,
    },
    /// The runtime did not answer the load in time.
    #[error("load of model {id} timed out after {timeout_ms} ms")]
    LoadTimeout {
        /// Model.
        id: String,
        /// The time it had.
        timeout_ms: u64,
    },
    /// The request waited longer than any load should take.
    #[error("no copy of model {id} within {waited_ms} ms")]
    WaitTimeout {
        /// Model.
        id: String,
        /// How long it waited.
        waited_ms: u64,
    },
    /// More requests wait for this model than its copy may keep.
    #[error("Model queue overload")]
    Overloaded {
        /// Model.
        id: String,
    },
    /// More requests wait for loads than the router keeps.
    #[error("too many requests wait for models to load ({limit})")]
    TooManyWaiting {
        /// The bound.
        limit: usize,
    },
    /// More loads are queued than the router keeps.
    #[error("too many model loads are queued ({limit})")]
    QueueFull {
        /// The bound.
        limit: usize,
    },
    /// The load would push out models that were used more recently.
    #[error("no room for model {id}: everything loaded was used more recently")]
    NotWorthIt {
        /// Model.
        id: String,
    },
    /// Nobody asked for a load of this model.
    #[error("no load of model {id} is under way")]
    NotLoading {
        /// Model.
        id: String,
    },
    /// The model was unregistered, or unloaded on request, while the request waited.
    #[error("model {id} was removed")]
    Removed {
        /// Model.
        id: String,
    },
    /// The router shuts down.
    #[error("router is shutting down")]
    ShuttingDown,
}

impl CacheError {
    pub(super) fn new(id: &str, refusal: Refusal, options: &CacheOptions) -> Self {
        let id = id.to_owned();
        match refusal {
            Refusal::Failed(failure) => match failure.cause {
                Cause::TooLarge { bytes, usable } => Self::TooLarge {
                    id,
                    size_bytes: bytes,
                    capacity_bytes: usable,
                },
                Cause::TimedOut { timeout } => Self::LoadTimeout {
                    id,
                    timeout_ms: timeout,
                },
                cause @ (Cause::Runtime(_) | Cause::Unavailable(_) | Cause::Stuck(_)) => Self::LoadFailed {
                    message: message(&cause),
                    at_ms: failure.at,
                    retry_at_ms: failure.retry_at,
                },
            },
            Refusal::Overloaded => Self::Overloaded { id },
            Refusal::TooManyWaiting => Self::TooManyWaiting {
                limit: options.max_waiting_requests,
            },
            Refusal::QueueFull => Self::QueueFull {
                limit: options.max_queued_loads,
            },
            Refusal::NotWorthIt => Self::NotWorthIt { id },
            Refusal::NotLoading => Self::NotLoading { id },
            Refusal::Removed => Self::Removed { id },
            Refusal::ShuttingDown => Self::ShuttingDown,
        }
    }

    /// The same error for those who know the model by this name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        match &mut self {
            Self::TooLarge { id, .. }
            | Self::LoadTimeout { id, .. }
            | Self::WaitTimeout { id, .. }
            | Self::Overloaded { id }
            | Self::NotWorthIt { id }
            | Self::NotLoading { id }
            | Self::Removed { id } => name.clone_into(id),
            // What the runtime says, and what is about no single model.
            Self::LoadFailed { .. }
            | Self::TooManyWaiting { .. }
            | Self::QueueFull { .. }
            | Self::ShuttingDown => {}
        }
        self
    }

    /// What clients of `ModelMesh` get.
    pub fn status(&self) -> Status {
        Status::new(self.code(), self.to_string())
    }

    /// The same text with a code that tells overload, a bad model and a slow one apart.
    pub fn precise_status(&self) -> Status {
        let code = match self {
            Self::TooLarge { .. } | Self::LoadFailed { .. } => Code::FailedPrecondition,
            Self::LoadTimeout { .. } | Self::WaitTimeout { .. } => Code::DeadlineExceeded,
            Self::Overloaded { .. } | Self::TooManyWaiting { .. } | Self::QueueFull { .. } => {
                Code::ResourceExhausted
            }
            Self::NotWorthIt { .. } | Self::NotLoading { .. } | Self::ShuttingDown => Code::Unavailable,
            Self::Removed { .. } => Code::NotFound,
        };
        Status::new(code, self.to_string())
    }

    /// Whether the same call may succeed a little later.
    pub fn retryable(&self) -> bool {
        !matches!(self, Self::TooLarge { .. } | Self::Removed { .. })
    }

    fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. }
            | Self::LoadFailed { .. }
            | Self::NotWorthIt { .. }
            | Self::NotLoading { .. } => Code::Internal,
            Self::LoadTimeout { .. } | Self::WaitTimeout { .. } => Code::DeadlineExceeded,
            Self::Overloaded { .. } | Self::TooManyWaiting { .. } | Self::QueueFull { .. } => {
                Code::ResourceExhausted
            }
            Self::Removed { .. } => Code::NotFound,
            Self::ShuttingDown => Code::Unavailable,
        }
    }
}

/// The text of a failed load.
pub(super) fn message(cause: &Cause) -> String {
    match cause {
        Cause::Runtime(message) | Cause::Unavailable(message) => message.clone(),
        Cause::TimedOut { timeout } => format!("load timed out after {timeout} ms"),
        Cause::TooLarge { bytes, usable } => {
            format!("model needs {bytes} bytes, more than the {usable} bytes this runtime can use")
        }
        Cause::Stuck(message) => format!("an earlier copy could not be unloaded: {message}"),
    }
}
