//! The verdict about one object: defaulted, then validated, as the API server and the webhook do.

use std::borrow::Cow;

use serde_json::Value;

use super::{
    context::Context,
    manifest::{Locator, Object},
    yaml::Place,
};
use crate::{
    defaults::{Defaulted, default},
    finding::{FieldPath, Finding, Severity, Step},
    names, patch,
    review::{Kind, Operation, Options, Request},
    schema::complete,
    validate,
};

/// A finding and its place in the file.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) finding: Finding,
    pub(super) place: Place,
}

/// What was found about one object.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) index: usize,
    pub(super) kind: Kind,
    /// As the object says; empty when it does not.
    pub(super) namespace: String,
    pub(super) name: String,
    /// In the order of places: a file is corrected from its top to its end.
    pub(super) findings: Vec<Located>,
    /// The object after defaulting, where it was asked for.
    pub(super) defaulted: Option<Value>,
}

impl Verdict {
    /// Whether an API server would take the object.
    pub(super) fn allowed(&self) -> bool {
        self.worst() != Some(Severity::Deny)
    }

    /// The gravest finding that the object did not ask to be spared.
    pub(super) fn worst(&self) -> Option<Severity> {
        let counted = self.findings.iter().map(|located| &located.finding);
        counted
            .filter(|finding| finding.suppressed.is_none())
            .map(|finding| finding.severity)
            .min()
    }

    /// `InferenceService iris`, or with the namespace `InferenceService shop/iris`.
    pub(super) fn title(&self) -> String {
        let name = if self.name.is_empty() {
            "(no name)"
        } else {
            &self.name
        };
        match self.namespace.as_str() {
            "" => format!("{} {name}", self.kind.name()),
            namespace => format!("{} {namespace}/{name}", self.kind.name()),
        }
    }
}

/// Judges an object; none for a kind without rules.
pub(super) fn judge(
    object: &Object,
    locator: &mut Locator<'_>,
    context: &Context,
    options: &Options,
    keep_defaulted: bool,
) -> Option<Verdict> {
    let kind = object.kind?;
    let old = context.old(object);
    let request = Request {
        operation: if old.is_some() {
            Operation::Update
        } else {
            Operation::Create
        },
        kind,
        namespace: object.namespace(context.namespace()),
        name: object.metadata("name"),
        object: Some(&object.value),
        old,
    };
    let (defaulted, findings) = review(&request, &object.value, context, options);
    let locate = |finding: Finding| Located {
        place: locator.find(object, &as_written(&finding.field, &object.value)),
        finding,
    };
    let mut findings: Vec<Located> = findings.into_iter().map(locate).collect();
    findings.sort_by_key(|located| (located.place.line, located.place.column));
    Some(Verdict {
        index: object.index,
        kind,
        namespace: object.metadata("namespace").to_owned(),
        name: object.metadata("name").to_owned(),
        findings,
        defaulted: keep_defaulted.then(|| defaulted.into_owned()),
    })
}

/// Where in the file a field of the defaulted object is: what is in `model` may have been written as a framework's block.
fn as_written<'f>(field: &'f FieldPath, object: &Value) -> Cow<'f, FieldPath> {
    let [spec, predictor, model, below @ ..] = field.0.as_slice() else {
        return Cow::Borrowed(field);
    };
    if [spec, predictor, model] != ["spec", "predictor", "model"].map(key).each_ref() {
        return Cow::Borrowed(field);
    }
    let predictor = &object["spec"]["predictor"];
    let both = predictor.get("model").is_some();
    let block = names::FRAMEWORKS
        .into_iter()
        .find(|framework| predictor[*framework].is_object());
    match block {
        Some(framework) if !(both && below.is_empty()) => {
            let block = ["spec", "predictor", framework].map(key);
            Cow::Owned(FieldPath([&block, below].concat()))
        }
        _ => Cow::Borrowed(field),
    }
}

fn key(name: &str) -> Step {
    Step::Key(name.to_owned())
}

/// The object after defaulting, and every finding.
fn review<'o>(
    request: &Request<'_>,
    object: &'o Value,
    context: &Context,
    options: &Options,
) -> (Cow<'o, Value>, Vec<Finding>) {
    let snapshot = context.snapshot();
    let Defaulted { patch, mut findings } = default(request, snapshot, options);
    let mut defaulted = Cow::Borrowed(object);
    if !patch.is_empty() {
        let mut changed = object.clone();
        // A patch always applies to the object it was made for; if it did not, the object is judged as it is.
        if patch::apply(&mut changed, &patch).is_ok() {
            complete(request.kind, &mut changed);
            defaulted = Cow::Owned(changed);
        }
    }
    let request = Request {
        object: Some(&defaulted),
        ..*request
    };
    findings.extend(validate(&request, snapshot, options));
    findings.retain(|finding| context.is_certain(finding));
    findings.sort_by(|left, right| {
        (&left.field, left.severity, left.rule.id).cmp(&(&right.field, right.severity, right.rule.id))
    });
    (defaulted, findings)
}
