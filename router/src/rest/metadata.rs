//! HTTP headers to gRPC metadata and back.

use std::time::Duration;

use api::names::headers;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::failure::Failure;

/// What passes under its own name. Others pass as `Grpc-Metadata-<name>`.
const PASSED: [&str; 13] = [
    "authorization",
    headers::MODEL_ID,
    headers::MODEL_ID_BIN,
    headers::VMODEL_ID,
    headers::VMODEL_ID_BIN,
    headers::LEGACY_MODEL_ID,
    headers::BALANCED,
    headers::REQUIRED,
    headers::REQUEST_ID,
    "traceparent",
    "tracestate",
    "baggage",
    GRPC_TIMEOUT,
];
const GRPC_TIMEOUT: &str = "grpc-timeout";
/// Prefix of metadata in HTTP headers, as in grpc-gateway.
const PREFIX: &str = "grpc-metadata-";

/// Names that belong to the transport; no client may set them, and no client needs them.
fn is_reserved(name: &str) -> bool {
    name.starts_with("grpc-")
        || matches!(
            name,
            "content-type"
                | "content-length"
                | "content-encoding"
                | "accept-encoding"
                | "transfer-encoding"
                | "connection"
                | "keep-alive"
                | "proxy-connection"
                | "upgrade"
                | "te"
                | "trailer"
                | "host"
                | "date"
                | "user-agent"
        )
}

/// Metadata of the call that a request becomes.
pub(super) fn of_request(request: &HeaderMap) -> HeaderMap {
    let mut metadata = HeaderMap::new();
    for (name, value) in request {
        let name = name.as_str();
        if PASSED.contains(&name) {
            append(&mut metadata, name, value);
        } else if let Some(name) = name.strip_prefix(PREFIX)
            && !is_reserved(name)
        {
            append(&mut metadata, name, value);
        }
    }
    metadata
}

/// Headers of the response, from the metadata of the answer.
pub(super) fn of_response(metadata: &HeaderMap) -> HeaderMap {
    let mut response = HeaderMap::new();
    for (name, value) in metadata {
        let name = name.as_str();
        if name == headers::REQUEST_ID {
            append(&mut response, name, value);
        } else if !is_reserved(name) {
            append(&mut response, &format!("{PREFIX}{name}"), value);
        }
    }
    response
}

fn append(map: &mut HeaderMap, name: &str, value: &HeaderValue) {
    // A name that was valid stays valid without or with the prefix, but for the empty one.
    if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
        map.append(name, value.clone());
    }
}

/// `Grpc-Timeout`: up to eight digits and a unit.
pub(super) fn timeout(request: &HeaderMap) -> Result<Option<Duration>, Failure> {
    let Some(value) = request.get(GRPC_TIMEOUT) else {
        return Ok(None);
    };
    let parsed = value.to_str().ok().and_then(|text| {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        if digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let amount: u64 = digits.parse().ok()?;
        Some(match unit {
            "H" => Duration::from_secs(amount * 3600),
            "M" => Duration::from_secs(amount * 60),
            "S" => Duration::from_secs(amount),
            "m" => Duration::from_millis(amount),
            "u" => Duration::from_micros(amount),
            "n" => Duration::from_nanos(amount),
            _ => return None,
        })
    });
    parsed.map(Some).ok_or_else(|| {
        Failure::invalid("Grpc-Timeout must be up to eight digits and one of the units H, M, S, m, u, n")
    })
}

/// `Inference-Header-Content-Length`.
pub(super) fn json_length(request: &HeaderMap) -> Result<Option<usize>, Failure> {
    let Some(value) = request.get(headers::INFERENCE_HEADER_CONTENT_LENGTH) else {
        return Ok(None);
    };
    let length = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    length
        .map(Some)
        .ok_or_else(|| Failure::invalid("Inference-Header-Content-Length must be a number of bytes"))
}

/// Content codings that both sides may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    /// The zlib format; as everywhere, the bare format is read as well.
    Deflate,
}

impl Coding {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

/// How the body of a request is coded; an unknown coding is an error.
pub(super) fn content_coding(request: &HeaderMap) -> Result<Option<Coding>, Failure> {
    let mut found = None;
    let values = request.get_all(header::CONTENT_ENCODING).iter();
    for name in values.flat_map(|value| value.as_bytes().split(|&byte| byte == b',')) {
        let coding = match name.trim_ascii().to_ascii_lowercase().as_slice() {
            b"" | b"identity" => continue,
            b"gzip" | b"x-gzip" => Coding::Gzip,
            b"deflate" => Coding::Deflate,
            _ => return Err(unsupported_coding()),
        };
        if found.replace(coding).is_some() {
            return Err(unsupported_coding());
        }
    }
    Ok(found)
}

fn unsupported_coding() -> Failure {
    Failure::with_http(
        http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
        tonic::Code::InvalidArgument,
        "Content-Encoding must be gzip, deflate or identity, one of them",
    )
    .header(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate"))
}

/// The coding that a client likes best among ours.
pub(super) fn accepted_coding(request: &HeaderMap) -> Option<Coding> {
    let (mut gzip, mut deflate, mut any) = (None, None, None);
    for value in request.get_all(header::ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or_default().split(',') {
            let mut parts = item.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality = parts
                .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
                .map_or(1.0, |quality| quality.trim().parse::<f32>().unwrap_or(0.0));
            match name.as_str() {
                "gzip" | "x-gzip" => gzip = Some(quality),
                "deflate" => deflate = Some(quality),
                "*" => any = Some(quality),
                _ => {}
            }
        }
    }
    let gzip = gzip.or(any).unwrap_or(0.0);
    let deflate = deflate.or(any).unwrap_or(0.0);
    if gzip > 0.0 && gzip >= deflate {
        Some(Coding::Gzip)
    } else if deflate > 0.0 {
        Some(Coding::Deflate)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
