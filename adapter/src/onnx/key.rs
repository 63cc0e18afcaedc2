//! `modelKey`: JSON that a router passes through unread. It may hold secrets, so no error repeats any of it.

use serde::Deserialize;
use tonic::Status;

/// What the runtime reads of a model key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ModelKey {
    /// Size on disk as whoever fetched the model measured it; absent where that failed.
    pub(super) disk_size_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct Raw {
    model_type: Option<RawType>,
    disk_size_bytes: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawType {
    Name(String),
    Object { name: String },
}

impl ModelKey {
    /// Parses a key; an empty one says nothing.
    pub(super) fn parse(key: &str) -> Result<Self, Status> {
        if key.trim().is_empty() {
            return Ok(Self::default());
        }
        // The parser's own message would quote values.
        let raw: Raw = serde_json::from_str(key).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let problem = match error.classify() {
                serde_json::error::Category::Data => "has a field of the wrong type",
                _ => "is not valid JSON",
            };
            Status::invalid_argument(format!("modelKey {problem} (line {line}, column {column})"))
        })?;
        if let Some(RawType::Name(name) | RawType::Object { name }) = &raw.model_type {
            // Types are compared without version and case: `ONNX:1` is onnx.
            let kind = name.split(':').next().unwrap_or_default().to_lowercase();
            if !kind.is_empty() && kind != "onnx" {
                return Err(Status::invalid_argument(
                    "model_type in modelKey must be onnx for this runtime",
                ));
            }
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "filtered to positive"
        )]
        let disk_size_bytes = raw
            .disk_size_bytes
            .filter(|bytes| *bytes > 0.0)
            .map(|bytes| bytes as u64);
        Ok(Self { disk_size_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, expected: Option<u64>) {
        assert_eq!(
            ModelKey::parse(key).unwrap(),
            ModelKey {
                disk_size_bytes: expected
            }
        );
    }

    #[track_caller]
    fn refused(key: &str, part: &str) {
        let status = ModelKey::parse(key).unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(status.message().contains(part), "{}", status.message());
        assert!(!status.message().contains("s3cret"), "{}", status.message());
    }

    #[test]
    fn keys() {
        check("", None);
        check("{}", None);
        check(r#"{"model_type": "onnx"}"#, None);
        check(
            r#"{"model_type": {"name": "ONNX:1.7", "version": "1"}, "disk_size_bytes": 54321}"#,
            Some(54321),
        );
        check(r#"{"disk_size_bytes": 0}"#, None);
        check(r#"{"disk_size_bytes": -4}"#, None);
        check(r#"{"bucket": "b", "secret": "s3cret"}"#, None);
    }

    #[test]
    fn bad_keys_are_refused_without_being_quoted() {
        refused("s3cret", "not valid JSON");
        refused(r#"{"secret": "s3cret""#, "not valid JSON");
        refused(r#"{"disk_size_bytes": "s3cret"}"#, "wrong type");
        refused(r#"{"model_type": ["s3cret"]}"#, "wrong type");
        refused(r#"{"model_type": "s3cret"}"#, "must be onnx");
    }
}
