//! One table of gRPC codes and HTTP statuses, and what an error must answer before it reaches a client.

use http::StatusCode;
use tonic::{Code, Status};

/// One gRPC code as the rest of the world sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    name: &'static str,
    http: u16,
    retryable: bool,
}

/// The table. Retryable: the same request may succeed elsewhere or later, and has had no effect.
const fn row(code: Code) -> Row {
    let (name, http, retryable) = match code {
        Code::Ok => ("OK", 200, false),
        // "Client closed request": no registered status says that nobody waits for the answer.
        Code::Cancelled => ("CANCELLED", 499, false),
        Code::Unknown => ("UNKNOWN", 500, false),
        Code::InvalidArgument => ("INVALID_ARGUMENT", 400, false),
        Code::DeadlineExceeded => ("DEADLINE_EXCEEDED", 504, false),
        Code::NotFound => ("NOT_FOUND", 404, false),
        Code::AlreadyExists => ("ALREADY_EXISTS", 409, false),
        Code::PermissionDenied => ("PERMISSION_DENIED", 403, false),
        Code::ResourceExhausted => ("RESOURCE_EXHAUSTED", 429, true),
        Code::FailedPrecondition => ("FAILED_PRECONDITION", 400, false),
        Code::Aborted => ("ABORTED", 409, false),
        Code::OutOfRange => ("OUT_OF_RANGE", 400, false),
        Code::Unimplemented => ("UNIMPLEMENTED", 501, false),
        Code::Internal => ("INTERNAL", 500, false),
        Code::Unavailable => ("UNAVAILABLE", 503, true),
        Code::DataLoss => ("DATA_LOSS", 500, false),
        Code::Unauthenticated => ("UNAUTHENTICATED", 401, false),
    };
    Row {
        name,
        http,
        retryable,
    }
}

/// HTTP status of a gRPC code.
pub fn http_status(code: Code) -> StatusCode {
    StatusCode::from_u16(row(code).http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// `INVALID_ARGUMENT` and the like: for messages and metric labels.
pub const fn name(code: Code) -> &'static str {
    row(code).name
}

/// Whether the same request may succeed elsewhere or later.
pub const fn retryable(code: Code) -> bool {
    row(code).retryable
}

/// gRPC code of an HTTP answer that carries no `grpc-status`: something that is no gRPC server answered.
pub fn code_of_http(status: StatusCode) -> Code {
    match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

/// What every error that can reach a client answers.
pub trait PublicError: std::error::Error {
    /// For the status, and for metric labels.
    fn kind(&self) -> Code;

    /// Text for the client; no secrets, no internals.
    fn public_message(&self) -> String;

    /// Whether the same request may succeed elsewhere or later.
    fn retryable(&self) -> bool {
        retryable(self.kind())
    }

    /// The status that a gRPC client gets.
    fn to_status(&self) -> Status {
        Status::new(self.kind(), self.public_message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written out again on purpose: what clients of the REST gateway rely on.
    const EXPECTED: [(i32, &str, u16); 17] = [
        (0, "OK", 200),
        (1, "CANCELLED", 499),
        (2, "UNKNOWN", 500),
        (3, "INVALID_ARGUMENT", 400),
        (4, "DEADLINE_EXCEEDED", 504),
        (5, "NOT_FOUND", 404),
        (6, "ALREADY_EXISTS", 409),
        (7, "PERMISSION_DENIED", 403),
        (8, "RESOURCE_EXHAUSTED", 429),
        (9, "FAILED_PRECONDITION", 400),
        (10, "ABORTED", 409),
        (11, "OUT_OF_RANGE", 400),
        (12, "UNIMPLEMENTED", 501),
        (13, "INTERNAL", 500),
        (14, "UNAVAILABLE", 503),
        (15, "DATA_LOSS", 500),
        (16, "UNAUTHENTICATED", 401),
    ];

    #[test]
    fn every_code_has_its_name_and_http_status() {
        for (number, text, http) in EXPECTED {
            let code = Code::from_i32(number);
            assert_eq!(code as i32, number);
            assert_eq!(name(code), text);
            assert_eq!(http_status(code).as_u16(), http, "{text}");
        }
    }

    #[test]
    fn only_refused_work_is_retried() {
        let retried: Vec<_> = (0..17)
            .map(Code::from_i32)
            .filter(|code| retryable(*code))
            .collect();
        assert_eq!(retried, [Code::ResourceExhausted, Code::Unavailable]);
    }

    #[test]
    fn every_http_status_has_a_code() {
        for number in 100..1000 {
            let status = StatusCode::from_u16(number).unwrap();
            let expected = match number {
                400 => Code::Internal,
                401 => Code::Unauthenticated,
                403 => Code::PermissionDenied,
                404 => Code::Unimplemented,
                429 | 502..=504 => Code::Unavailable,
                _ => Code::Unknown,
            };
            assert_eq!(code_of_http(status), expected, "{number}");
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("node 10.0.0.7 refused")]
    struct Refused;

    impl PublicError for Refused {
        fn kind(&self) -> Code {
            Code::Unavailable
        }

        fn public_message(&self) -> String {
            "no instance can take the request".into()
        }
    }

    #[test]
    fn clients_see_the_public_message_only() {
        let status = Refused.to_status();
        assert_eq!(
            (status.code(), status.message()),
            (Code::Unavailable, "no instance can take the request")
        );
        assert!(Refused.retryable());
    }
}
