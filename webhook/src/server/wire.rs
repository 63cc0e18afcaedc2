//! `AdmissionReview` as it is on the wire, `admission.k8s.io/v1` and `v1beta1`: the fields that we read, and those that
//! we write. Both versions have the same JSON.
//!
//! Source: `k8s.io/api/admission/v1`. `patch` is base64 there (`[]byte` in Go), which is why this is not kube's type.

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::patch::PatchOperation;

const GROUP: &str = "admission.k8s.io/";
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// Why a body is no review.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// Not JSON, or fields of a wrong type.
    #[error("the body is no AdmissionReview: {0}")]
    Json(#[from] serde_json::Error),
    /// Another kind.
    #[error("the body is a {found:?}; an AdmissionReview is expected")]
    Kind {
        /// Its `kind`.
        found: String,
    },
    /// A version that we do not know.
    #[error(
        "the body is an AdmissionReview of {found:?}; admission.k8s.io/v1 and admission.k8s.io/v1beta1 are known"
    )]
    Version {
        /// Its `apiVersion`.
        found: String,
    },
    /// No question in it.
    #[error("the AdmissionReview has no {0}")]
    Missing(&'static str),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow, default)]
    api_version: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    request: Option<Question<'a>>,
}

/// What is asked. Objects are JSON that nobody has read yet, so that one that cannot be read is a denial with the
/// request's uid.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question<'a> {
    /// Comes back in the answer.
    #[serde(borrow, default)]
    pub uid: Cow<'a, str>,
    /// What the object is, after conversion to the version that the webhook asked for.
    #[serde(borrow, default)]
    pub kind: GroupVersionKind<'a>,
    /// `status` or `scale`, for instance.
    #[serde(borrow, default)]
    pub sub_resource: Option<Cow<'a, str>>,
    /// Absent when the API server generates it.
    #[serde(borrow, default)]
    pub name: Option<Cow<'a, str>>,
    /// Absent for cluster scope.
    #[serde(borrow, default)]
    pub namespace: Option<Cow<'a, str>>,
    /// `CREATE`, `UPDATE`, `DELETE`, `CONNECT`.
    #[serde(borrow, default)]
    pub operation: Cow<'a, str>,
    /// As it shall be stored.
    #[serde(borrow, default)]
    pub object: Option<&'a RawValue>,
    /// As it is stored.
    #[serde(borrow, default)]
    pub old_object: Option<&'a RawValue>,
}

/// `GroupVersionKind`.
#[derive(Debug, Default, Deserialize)]
pub struct GroupVersionKind<'a> {
    /// Empty for the core group.
    #[serde(borrow, default)]
    pub group: Cow<'a, str>,
    /// As `v1beta1`.
    #[serde(borrow, default)]
    pub version: Cow<'a, str>,
    /// As `InferenceService`.
    #[serde(borrow, default)]
    pub kind: Cow<'a, str>,
}

impl std::fmt::Display for GroupVersionKind<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.group.is_empty() {
            write!(f, "{}/", self.group)?;
        }
        write!(f, "{} {}", self.version, self.kind)
    }
}

/// A review that came in.
#[derive(Debug)]
pub struct Review<'a> {
    version: &'static str,
    /// What is asked.
    pub request: Question<'a>,
}

impl<'a> Review<'a> {
    /// Reads a body.
    pub fn parse(body: &'a [u8]) -> Result<Self, ReviewError> {
        let envelope: Envelope<'a> = serde_json::from_slice(body)?;
        if envelope.kind != "AdmissionReview" {
            return Err(ReviewError::Kind {
                found: excerpt(&envelope.kind),
            });
        }
        let version = envelope.api_version.strip_prefix(GROUP);
        let Some(version) = VERSIONS.into_iter().find(|known| version == Some(*known)) else {
            return Err(ReviewError::Version {
                found: excerpt(&envelope.api_version),
            });
        };
        let request = envelope.request.ok_or(ReviewError::Missing("request"))?;
        if request.uid.is_empty() {
            return Err(ReviewError::Missing("request.uid"));
        }
        Ok(Self { version, request })
    }

    /// The body of the answer, of the version that was asked in.
    pub fn answer(&self, response: &Response) -> Vec<u8> {
        let review = Answer {
            api_version: format!("{GROUP}{}", self.version),
            kind: "AdmissionReview",
            response: Body {
                uid: &self.request.uid,
                patch_type: response.patch.as_ref().map(|_| "JSONPatch"),
                response,
            },
        };
        // Strings and numbers only: this cannot fail.
        serde_json::to_vec(&review).unwrap_or_default()
    }
}

/// Enough of a wrong word to recognize it.
fn excerpt(text: &str) -> String {
    const MOST: usize = 100;
    text.chars().take(MOST).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: String,
    kind: &'static str,
    response: Body<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    uid: &'a str,
    #[serde(flatten)]
    response: &'a Response,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
}

/// What is answered, without the uid.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// Whether the request goes on.
    pub allowed: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// What to change.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "base64_json")]
    pub patch: Option<Vec<PatchOperation>>,
    /// For the API server's audit log.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub audit_annotations: BTreeMap<&'static str, String>,
    /// For the person who sent the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// `metav1.Status` of a denial.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// HTTP code that the client gets.
    pub code: u16,
    /// A word for programs.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// For programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
}

/// `metav1.StatusDetails`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Details {
    /// Of the object.
    pub name: String,
    /// Of the object.
    pub group: String,
    /// Of the object.
    pub kind: String,
    /// One for each finding that denies.
    pub causes: Vec<Cause>,
}

/// `metav1.StatusCause`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cause {
    /// The rule.
    pub reason: &'static str,
    /// What is wrong.
    pub message: String,
    /// Where.
    pub field: String,
}

#[expect(clippy::ref_option, reason = "what serde's derive calls")]
fn base64_json<S: serde::Serializer>(
    patch: &Option<Vec<PatchOperation>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let json = serde_json::to_vec(patch).map_err(serde::ser::Error::custom)?;
    serializer.serialize_str(&BASE64_STANDARD.encode(json))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn review(version: &str) -> String {
        json!({
            "apiVersion": format!("admission.k8s.io/{version}"),
            "kind": "AdmissionReview",
            "request": {"uid": "u-1", "operation": "CREATE", "object": {"a": 1}, "oldObject": null, "dryRun": true},
        })
        .to_string()
    }

    #[test]
    fn answers_in_the_version_of_the_question() {
        for version in VERSIONS {
            let text = review(version);
            let review = Review::parse(text.as_bytes()).unwrap();
            assert_eq!(review.request.object.unwrap().get(), r#"{"a":1}"#);
            assert!(review.request.old_object.is_none());
            let response = Response {
                allowed: true,
                patch: Some(vec![PatchOperation::Remove { path: "/x".into() }]),
                ..Response::default()
            };
            let answer: Value = serde_json::from_slice(&review.answer(&response)).unwrap();
            assert_eq!(
                answer,
                json!({
                    "apiVersion": format!("admission.k8s.io/{version}"),
                    "kind": "AdmissionReview",
                    "response": {
                        "uid": "u-1",
                        "allowed": true,
                        "patch": BASE64_STANDARD.encode(r#"[{"op":"remove","path":"/x"}]"#),
                        "patchType": "JSONPatch",
                    },
                })
            );
        }
    }

    #[test]
    fn what_is_no_review_says_why() {
        let wrong = |text: &str| Review::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(wrong("{").contains("EOF"));
        assert!(wrong("[]").contains("no AdmissionReview"));
        assert!(wrong(r#"{"kind":"Pod"}"#).contains("\"Pod\""));
        assert!(wrong(&review("v2")).contains("admission.k8s.io/v2"));
        let none = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}).to_string();
        assert!(wrong(&none).contains("no request"));
        assert!(wrong(&review("v1").replace("u-1", "")).contains("request.uid"));
    }

    #[test]
    fn an_object_of_any_depth_is_a_review() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let text = review("v1").replace(r#"{"a":1}"#, &deep);
        let review = Review::parse(text.as_bytes()).unwrap();
        assert_eq!(review.request.object.unwrap().get().len(), deep.len());
    }
}
