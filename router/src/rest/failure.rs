//! What a client is told when a request fails.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tonic::{Code, Status};

use super::{decode::DecodeError, encode::EncodeError, metadata, write};

/// A failed request: `{"error","code","message"}`.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) http: StatusCode,
    pub(super) code: Code,
    pub(super) message: String,
    /// Headers of the response. Boxed, because failures travel in results.
    pub(super) headers: Box<HeaderMap>,
}

impl Failure {
    /// With the HTTP status that belongs to the code.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self::with_http(kit::status::http_status(code), code, message)
    }

    /// With an HTTP status that says more than the code does.
    pub(super) fn with_http(http: StatusCode, code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            http,
            code,
            message,
            headers: Box::default(),
        }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::with_http(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, message)
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// All places are taken.
    pub(super) fn overloaded() -> Self {
        let message = "too many requests at once; try again";
        Self::new(Code::Unavailable, message).header(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The body.
    pub(super) fn json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 * self.message.len() + 64);
        out.push(b'{');
        write::key(&mut out, "error");
        write::string(&mut out, &self.message);
        write::key(&mut out, "code");
        write::integer(&mut out, i32::from(self.code));
        write::key(&mut out, "message");
        write::string(&mut out, &self.message);
        out.push(b'}');
        out
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        // A status may come without a text; nobody should read an empty error.
        let message = match status.message() {
            "" => kit::status::name(status.code()),
            message => message,
        };
        let mut failure = Self::new(status.code(), message);
        *failure.headers = metadata::of_response(status.metadata().as_ref());
        failure
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Syntax(_) | DecodeError::Invalid(_) => Self::invalid(error.to_string()),
            DecodeError::TooLarge(_) => Self::too_large(error.to_string()),
        }
    }
}

impl From<EncodeError> for Failure {
    fn from(error: EncodeError) -> Self {
        Self::internal(error.to_string())
    }
}
