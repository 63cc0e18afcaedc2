//! What a client is told when a request fails.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tonic::{Code, Status};

use super::{decode::DecodeError, encode::EncodeError, write};

/// A failed request: `{"error","code","message"}`.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) http: StatusCode,
    pub(super) code: Code,
    pub(super) message: String,
    /// Headers of the response itself.
    pub(super) headers: HeaderMap,
    /// gRPC metadata of the status.
    pub(super) metadata: HeaderMap,
}

impl Failure {
    /// With the HTTP status that belongs to the code.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self::with_http(http_status(code), code, message)
    }

    /// With an HTTP status that says more than the code does.
    pub(super) fn with_http(http: StatusCode, code: Code, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            http,
            code,
            message,
            headers: HeaderMap::new(),
            metadata: HeaderMap::new(),
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
        let mut failure = Self::new(status.code(), status.message());
        failure.metadata = status.metadata().clone().into_headers();
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

/// HTTP status of a gRPC code, as grpc-gateway has it.
fn http_status(code: Code) -> StatusCode {
    let status = match code {
        Code::Ok => 200,
        Code::Cancelled => 499,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::DeadlineExceeded => 504,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::PermissionDenied => 403,
        Code::Unauthenticated => 401,
        Code::ResourceExhausted => 429,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
