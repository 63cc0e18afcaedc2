//! Name and annotations.

use super::Service;
use crate::{
    config::DeploymentMode,
    names,
    review::Kind,
    rules::{DENY, LATER, Rule, WARN, sink::Findings},
    suggest,
};

pub(crate) static NAME: Rule = Rule {
    id: "IS-V01",
    title: "service name",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "The name is lower-case letters, digits and `-`, starts with a letter and does not end with `-`.",
    why: "The name becomes part of host names and of the names of Services, which start with a letter.",
    fix: "Rename the object, for example `bert-v2` for `2.bert_V2`.",
    cel: Some("object.metadata.?name.orValue('').matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')"),
    ..DENY
};

pub(crate) static AUTOSCALER_CLASS: Rule = Rule {
    id: "IS-V02",
    title: "autoscaler class",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "The annotation `serving.kserve.io/autoscalerClass` is `hpa`, `keda`, `external` or `none`.",
    why: "No autoscaler would be made for another class.",
    fix: "Use one of the four, or remove the annotation. Knative's own autoscaler is used when the annotation is absent.",
    cel: Some(
        "!('serving.kserve.io/autoscalerClass' in variables.annotations) || \
         variables.annotations['serving.kserve.io/autoscalerClass'] in ['hpa', 'keda', 'external', 'none']",
    ),
    ..DENY
};

pub(crate) static MODE: Rule = Rule {
    id: "IS-C15",
    title: "deployment mode",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "The annotation `serving.kserve.io/deploymentMode` is `Standard`, `Knative` or `ModelMesh`.",
    why: "The controller takes the cluster's default for a mode that it does not know, and says nothing.",
    fix: "Correct the spelling. `RawDeployment` and `Serverless` are accepted as the old names of the first two.",
    cel: Some(
        "!('serving.kserve.io/deploymentMode' in variables.annotations) || \
         variables.annotations['serving.kserve.io/deploymentMode'] in \
         ['Standard', 'Knative', 'ModelMesh', 'RawDeployment', 'Serverless']",
    ),
    ..LATER
};

pub(crate) static STOP: Rule = Rule {
    id: "IS-C17",
    title: "stop annotation",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "The annotation `serving.kserve.io/stop` is `true` or `false`.",
    why: "Any other value means that the service keeps running.",
    fix: "Write `true` to stop the service, or remove the annotation.",
    cel: Some(
        "!('serving.kserve.io/stop' in variables.annotations) || \
         variables.annotations['serving.kserve.io/stop'].lowerAscii() in ['true', 'false']",
    ),
    ..WARN
};

pub(crate) const AUTOSCALER_CLASSES: [&str; 4] = ["hpa", "keda", "external", "none"];

pub(super) fn check(service: &Service<'_>, out: &mut Findings<'_>) {
    let name = service.review.name();
    if !names::is_service_name(name) {
        let node = service.review.metadata().at("name");
        let generated = name.is_empty() && service.review.metadata().at("generateName").exists();
        let message = if generated {
            "the name has to be given; `generateName` is not understood by the controllers".to_owned()
        } else {
            format!(
                "`{name}` is no name for a service: lower-case letters, digits and `-`, starting with a letter"
            )
        };
        out.push(&NAME, &node, message).hint(suggested_name(name));
    }

    let class = service.annotations.at(names::AUTOSCALER_CLASS);
    if let Some(text) = class.str().filter(|text| !AUTOSCALER_CLASSES.contains(text)) {
        out.push(
            &AUTOSCALER_CLASS,
            &class,
            format!("`{text}` is no autoscaler class"),
        )
        .hint(suggest::hint(text, AUTOSCALER_CLASSES));
    }

    let mode = service.annotations.at(names::DEPLOYMENT_MODE);
    if let Some(text) = mode.str().filter(|text| DeploymentMode::parse(text).is_none()) {
        let known = DeploymentMode::ALL.map(DeploymentMode::as_str);
        out.push(
            &MODE,
            &mode,
            format!("`{text}` is no deployment mode; the cluster's default will be used"),
        )
        .hint(suggest::hint(
            text,
            known.into_iter().chain(["RawDeployment", "Serverless"]),
        ));
    }

    let stop = service.annotations.at(names::STOP);
    if let Some(text) = stop.str()
        && !text.eq_ignore_ascii_case("true")
        && !text.eq_ignore_ascii_case("false")
    {
        out.push(
            &STOP,
            &stop,
            format!("`{text}` does not stop the service; only `true` does"),
        );
    }
}

/// The name with what is not allowed replaced, if that gives a name.
fn suggested_name(name: &str) -> Option<String> {
    let folded: String = name
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let folded = folded
        .trim_start_matches(|letter: char| !letter.is_ascii_lowercase())
        .trim_end_matches('-');
    names::is_service_name(folded).then(|| format!("`{folded}` would do"))
}
