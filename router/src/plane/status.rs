//! A model server's error statuses as the client sees them, and what they say of the model.

use http::HeaderMap;
use tonic::Code;

use super::Plane;
use crate::{
    exchange::{Broken, Exchange},
    failure::{self, Failure},
};

impl Plane {
    /// ModelMesh's texts for a runtime's error status, unless plain ones are asked for.
    pub(super) fn translate(&self, path: &str, headers: &HeaderMap) -> Failure {
        let code = failure::code(headers).unwrap_or(Code::Unknown);
        let text = failure::message(headers);
        if self.options.plain_statuses {
            return Failure::new(code, text);
        }
        let method = path.trim_start_matches('/');
        if code == Code::Unavailable {
            return Failure::new(
                Code::Internal,
                format!("ModelRuntime UNAVAILABLE: {method}: UNAVAILABLE: {text}"),
            );
        }
        Failure::new(code, format!("{method}: {}: {text}", kit::status::name(code)))
    }

    /// The same, in the headers of a response.
    pub(super) fn translate_status(&self, path: &str, headers: &mut HeaderMap) {
        if headers.get("grpc-status").is_none_or(|value| value == "0") || self.options.plain_statuses {
            return;
        }
        let failure = self.translate(path, headers);
        headers.remove("grpc-message");
        headers.extend(failure.trailers());
    }

    /// The same, in the trailers of a response. Another router has done that already.
    pub fn finish(&self, path: &str, exchange: &Exchange, trailers: &mut HeaderMap) {
        if exchange.remote().is_none() {
            self.translate_status(path, trailers);
        }
    }

    /// A call that broke off, as the client sees it.
    pub fn broken(&self, path: &str, exchange: &Exchange, broken: Broken) -> Failure {
        let error = match broken {
            Broken::Client(failure) => return failure,
            Broken::Server(error) => error,
        };
        let Some(remote) = exchange.remote() else {
            tracing::debug!(%error, "a call to the model server broke off");
            return self.translate(path, &error.failure().trailers());
        };
        let peer = remote.peer();
        if error.is_outage() {
            peer.failed(&error);
        }
        // Whether the call was executed is not known, unless it was not sent. Who may repeat it is told by the code.
        Failure::new(Code::Unavailable, error.about(&format!("router {}", peer.id())))
    }
}

/// The ways in which runtimes say that they do not have a model (ModelMesh's list: plain `NOT_FOUND`,
/// Triton, MLServer).
pub(super) fn is_lost(code: Code, text: &str) -> bool {
    match code {
        Code::NotFound => true,
        Code::Unavailable => {
            text.starts_with("Request for unknown model")
                && (text.ends_with(" is not found") || text.ends_with(" has no available versions"))
        }
        Code::InvalidArgument => text.starts_with("Model ") && text.ends_with("not found"),
        _ => false,
    }
}

/// A call to a service of the router that broke off.
pub(super) fn broken_failure(broken: Broken) -> Failure {
    match broken {
        Broken::Client(failure) => failure,
        Broken::Server(error) => error.failure(),
    }
}
