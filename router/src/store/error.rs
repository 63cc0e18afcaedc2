//! Why the store did not do what it was asked to.

use std::time::Duration;

use tonic::{Code, Status};

/// Why the store did not do what it was asked to. The texts name keys and addresses, never values or passwords.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It could not be reached, or could not work; nothing was written.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// A read was not answered in time.
    #[error("the store did not answer within {0:?}")]
    Timeout(Duration),
    /// A write was sent and not answered: it may have happened, or may happen yet. Read again before deciding.
    #[error("the store may have written it or not: {0}")]
    Ambiguous(String),
    /// Who asked may not do this.
    #[error("the store denies it: {0}")]
    Denied(String),
    /// Larger than the store takes.
    #[error("too large for the store: {0}")]
    TooLarge(String),
    /// A request that can never succeed.
    #[error("not a request for the store: {0}")]
    Invalid(String),
    /// Writing is switched off.
    #[error("the store is read-only here")]
    ReadOnly,
    /// The session was ended with [`close`](super::Store::close).
    #[error("the store was closed")]
    Closed,
}

impl StoreError {
    /// Whether the same request may succeed later. An [`StoreError::Ambiguous`] one may even have succeeded.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Timeout(_) | Self::Ambiguous(_) => true,
            Self::Denied(_) | Self::TooLarge(_) | Self::Invalid(_) | Self::ReadOnly | Self::Closed => false,
        }
    }
}

impl From<StoreError> for Status {
    fn from(err: StoreError) -> Self {
        let code = match err {
            StoreError::Unavailable(_) | StoreError::Closed => Code::Unavailable,
            StoreError::Timeout(_) | StoreError::Ambiguous(_) => Code::DeadlineExceeded,
            // The router's rights in the store are no matter of the caller's.
            StoreError::Denied(_) => Code::Internal,
            StoreError::TooLarge(_) | StoreError::Invalid(_) => Code::InvalidArgument,
            StoreError::ReadOnly => Code::FailedPrecondition,
        };
        Status::new(code, err.to_string())
    }
}
