//! From a question to an answer: which rules apply, and how findings are told. Pure, so that it can be tested and fuzzed
//! without a server.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use serde_json::{Value, value::RawValue};

use super::{
    paths::{Endpoint, Purpose},
    text,
    wire::{Cause, Details, Question, Response, Status},
};
use crate::{
    Finding, Kind, Mode, Operation, Options, Request, Severity, Snapshot, default, patch::PatchOperation,
    validate,
};

/// An annotation that only a probe of the API server has; see `certs::probe`. An object with it is denied, with its value in
/// the message.
pub const PROBE: &str = "stowage.dev/webhook-probe";

/// How a review ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The request goes on.
    Allowed,
    /// It goes on, and the person is told something.
    Warned,
    /// A rule denied it.
    Denied,
    /// It was about something that this path is not for, or could not be read.
    Refused,
    /// A rule panicked.
    Failed,
}

impl Verdict {
    /// For labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Warned => "warned",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// The answer, and what there is to count and to log.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What is sent.
    pub response: Response,
    /// How it ended.
    pub verdict: Verdict,
    /// The kind that was asked about, if it is one of ours.
    pub kind: Option<Kind>,
    /// Rules with findings, in the order of findings.
    pub rules: Vec<(&'static str, Severity)>,
}

/// Answers a question that came in at `endpoint`. Never panics.
pub fn answer(
    endpoint: &Endpoint,
    question: &Question<'_>,
    snapshot: &Snapshot,
    options: &Options,
) -> Outcome {
    let judge = |request: &Request<'_>| match endpoint.purpose {
        Purpose::Mutate => {
            let defaulted = default(request, snapshot, options);
            (defaulted.findings, defaulted.patch)
        }
        Purpose::Validate => (validate(request, snapshot, options), Vec::new()),
    };
    answer_by(judge, endpoint, question, options)
}

/// Answers with what `judge` finds and changes. It is asked only about objects that can be judged.
fn answer_by(
    judge: impl Fn(&Request<'_>) -> (Vec<Finding>, Vec<PatchOperation>),
    endpoint: &Endpoint,
    question: &Question<'_>,
    options: &Options,
) -> Outcome {
    let kind = kind_of(question);
    let outcome = |response, verdict, rules| Outcome {
        response,
        verdict,
        kind,
        rules,
    };
    let refused = |problem: String| {
        let response = refusal(400, "BadRequest", problem);
        outcome(response, Verdict::Refused, Vec::new())
    };
    let allowed = || {
        let response = Response {
            allowed: true,
            ..Response::default()
        };
        outcome(response, Verdict::Allowed, Vec::new())
    };
    let operation = match &*question.operation {
        "CREATE" => Operation::Create,
        "UPDATE" => Operation::Update,
        "DELETE" => Operation::Delete,
        // A webhook configuration that asks for everything gets these too; there is nothing to check.
        "CONNECT" => return allowed(),
        other => return refused(format!("the operation {other:?} is not known")),
    };
    let Some(kind) = kind.filter(|kind| endpoint.kinds.contains(kind)) else {
        let names: Vec<_> = endpoint
            .kinds
            .iter()
            .map(|kind| format!("{} {}", kind.api_version(), kind.name()))
            .collect();
        return refused(format!(
            "{} is for {}, the request is about {}; correct `rules` or the path in the webhook configuration",
            endpoint.path,
            names.join(" and "),
            question.kind
        ));
    };
    if question
        .sub_resource
        .as_deref()
        .is_some_and(|name| !name.is_empty())
    {
        return allowed();
    }
    let (object, old) = match (
        read("object", question.object),
        read("oldObject", question.old_object),
    ) {
        (Ok(object), Ok(old)) => (object, old),
        (Err(problem), _) | (_, Err(problem)) => return refused(problem),
    };
    let request = Request {
        operation,
        kind,
        namespace: question.namespace.as_deref().unwrap_or_default(),
        name: question.name.as_deref().unwrap_or_default(),
        object: object.as_ref(),
        old: old.as_ref(),
    };
    if let Some(response) = probe(endpoint, &request) {
        return outcome(response, Verdict::Denied, Vec::new());
    }
    // Rules do not panic; should one, it costs one review and not the server.
    let judged = catch_unwind(AssertUnwindSafe(|| judge(&request)));
    let Ok((findings, patch)) = judged else {
        let problem = "a rule failed, which is a bug of stowage-webhook; its log says where".to_owned();
        let response = refusal(500, "InternalError", problem);
        return outcome(response, Verdict::Failed, Vec::new());
    };
    let rules = findings
        .iter()
        .map(|finding| (finding.rule.id, finding.severity))
        .collect();
    let mut response = tell(question, &findings, options);
    if response.allowed && !patch.is_empty() {
        response.patch = Some(patch);
    }
    let verdict = match (response.allowed, response.warnings.is_empty()) {
        (false, _) => Verdict::Denied,
        (true, false) => Verdict::Warned,
        (true, true) => Verdict::Allowed,
    };
    outcome(response, verdict, rules)
}

fn kind_of(question: &Question<'_>) -> Option<Kind> {
    let gvk = &question.kind;
    let version = format!("{}/{}", gvk.group, gvk.version);
    // The API server converts to the version that the webhook configuration names; rules know one of each kind.
    Kind::of(&version, &gvk.kind).filter(|kind| kind.api_version() == version)
}

fn read(what: &str, raw: Option<&RawValue>) -> Result<Option<Value>, String> {
    raw.map(|raw| {
        serde_json::from_str(raw.get()).map_err(|err| format!("`request.{what}` cannot be read: {err}"))
    })
    .transpose()
}

fn refusal(code: u16, reason: &'static str, message: String) -> Response {
    Response {
        allowed: false,
        status: Some(Status {
            code,
            reason,
            message,
            details: None,
        }),
        ..Response::default()
    }
}

fn probe(endpoint: &Endpoint, request: &Request<'_>) -> Option<Response> {
    if endpoint.purpose != Purpose::Validate || request.operation != Operation::Create {
        return None;
    }
    let annotations = request.object?.get("metadata")?.get("annotations")?;
    let word = annotations.get(PROBE)?.as_str()?;
    Some(refusal(403, "Forbidden", format!("probe {word}")))
}

fn tell(question: &Question<'_>, findings: &[Finding], options: &Options) -> Response {
    let denials: Vec<_> = findings.iter().filter(|finding| finding.denies()).collect();
    let warnings: Vec<_> = findings
        .iter()
        .filter(|finding| !finding.denies() && finding.suppressed.is_none())
        .collect();
    let status = (!denials.is_empty()).then(|| Status {
        code: 403,
        reason: "Forbidden",
        message: text::denial(&denials),
        details: Some(Details {
            name: question.name.as_deref().unwrap_or_default().to_owned(),
            group: question.kind.group.to_string(),
            kind: question.kind.kind.to_string(),
            causes: denials
                .iter()
                .map(|finding| Cause {
                    reason: finding.rule.id,
                    message: match &finding.hint {
                        Some(hint) => format!("{}; {hint}", finding.message),
                        None => finding.message.clone(),
                    },
                    field: finding.field.to_string(),
                })
                .collect(),
        }),
    });
    Response {
        allowed: status.is_none(),
        status,
        patch: None,
        audit_annotations: audit(findings, options),
        warnings: text::warnings(&warnings),
    }
}

/// For the audit log: the mode, and which rules spoke. Nothing for an object that nothing was said about.
fn audit(findings: &[Finding], options: &Options) -> BTreeMap<&'static str, String> {
    let ids = |wanted: fn(&Finding) -> bool| {
        let mut ids: Vec<_> = findings
            .iter()
            .filter(|finding| wanted(finding))
            .map(|finding| finding.rule.id)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids.join(",")
    };
    let mode = match options.mode {
        Mode::Compat => "compat",
        Mode::Strict => "strict",
    };
    if findings.is_empty() {
        return BTreeMap::new();
    }
    let mut all = BTreeMap::from([
        ("mode", mode.to_owned()),
        ("denied-by", ids(Finding::denies)),
        (
            "warned-by",
            ids(|finding| !finding.denies() && finding.suppressed.is_none()),
        ),
        ("suppressed", ids(|finding| finding.suppressed.is_some())),
    ]);
    all.retain(|_, value| !value.is_empty());
    all
}

#[cfg(test)]
mod tests;
