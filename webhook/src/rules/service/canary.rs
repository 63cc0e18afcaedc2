//! The canary list: further predictors that get a part of the traffic.

use std::collections::BTreeSet;

use super::{Component, Role, Service, framework, implementation, logger, replicas, storage_uri};
use crate::{
    config::DeploymentMode,
    names,
    node::Node,
    review::Kind,
    rules::{DENY, Rule, sink::Findings},
};

pub(crate) static MODE: Rule = Rule {
    id: "IS-V15a",
    title: "canaries need Standard mode",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "A service with a `canary` list has the annotation `serving.kserve.io/deploymentMode: Standard`.",
    why: "Traffic is split between plain deployments; Knative splits by `canaryTrafficPercent`.",
    fix: "Add the annotation, or use `predictor.canaryTrafficPercent`.",
    cel: Some(
        "variables.spec.?canary.orValue([]).size() == 0 || \
         variables.annotations[?'serving.kserve.io/deploymentMode'].orValue('') == 'Standard'",
    ),
    ..DENY
};

pub(crate) static STABLE: Rule = Rule {
    id: "IS-V15b",
    title: "canaries need a stable model",
    scope: &[Kind::InferenceService],
    doc: "Beside a `canary` list, the predictor has a `model` or a storage URI.",
    why: "A canary is compared with a model.",
    fix: "Set `predictor.model`.",
    ..DENY
};

pub(crate) static NAME: Rule = Rule {
    id: "IS-V15c",
    title: "canary names",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "Each canary's predictor has a `name` that no other predictor has.",
    why: "The deployment of a canary is called after it.",
    fix: "Name each, for example `v2`.",
    cel: Some(
        "variables.spec.?canary.orValue([]).all(c, c.?predictor.?name.orValue('') != '' && \
         c.predictor.name != variables.predictor.?name.orValue('') && \
         variables.spec.canary.filter(d, d.?predictor.?name.orValue('') == c.predictor.name).size() == 1)",
    ),
    ..DENY
};

pub(crate) static TRAFFIC: Rule = Rule {
    id: "IS-V15d",
    title: "canary traffic",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "Each `trafficPercent` is from 0 to 100, and their sum is at most 100.",
    why: "The stable predictor gets the rest.",
    fix: "Lower the percentages.",
    cel: Some(
        "variables.spec.?canary.orValue([]).all(c, c.?trafficPercent.orValue(0) >= 0 && \
         c.?trafficPercent.orValue(0) <= 100) && \
         variables.spec.?canary.orValue([]).map(c, int(c.?trafficPercent.orValue(0))).sum() <= 100",
    ),
    ..DENY
};

pub(crate) static SCALING: Rule = Rule {
    id: "IS-V15e",
    title: "canaries do not scale",
    scope: &[Kind::InferenceService],
    stateless: true,
    doc: "A canary has no `maxReplicas`, `scaleTarget`, `scaleMetric`, `autoScaling` or `workerSpec`, and no more \
          `minReplicas` than the stable predictor.",
    why: "The number of its pods follows from its share of the traffic.",
    fix: "Remove the fields from the canary.",
    cel: Some(
        "variables.spec.?canary.orValue([]).all(c, c.?predictor.?maxReplicas.orValue(0) == 0 && \
         !has(c.predictor.scaleTarget) && !has(c.predictor.scaleMetric) && !has(c.predictor.autoScaling) && \
         !has(c.predictor.workerSpec) && \
         c.predictor.?minReplicas.orValue(1) <= variables.predictor.?minReplicas.orValue(1))",
    ),
    ..DENY
};

pub(super) fn check(service: &Service<'_>, out: &mut Findings<'_>) {
    let list = service.spec.at("canary");
    if list.is_empty() {
        return;
    }
    if service.raw_mode() != DeploymentMode::Standard.as_str() {
        out.push(&MODE, &list, "a `canary` list needs the mode `Standard`")
            .hint(format!(
                "add the annotation `{}: Standard`",
                names::DEPLOYMENT_MODE
            ));
    }
    let stable = Component {
        role: Role::Predictor,
        node: service.predictor,
    };
    if !service.predictor.at("model").exists() && storage_uri(&stable).is_none() {
        out.push(
            &STABLE,
            &service.predictor,
            "beside canaries, the predictor needs a `model` or a storage URI",
        );
    }

    let mut taken = BTreeSet::from([service.predictor.at("name").text()]);
    let mut sum = 0_i64;
    for canary in list.items() {
        let predictor = canary.at("predictor");
        let name = predictor.at("name");
        if name.text().is_empty() {
            out.push(&NAME, &name, "a canary's predictor needs a `name`")
                .advise("for example `v2`");
        } else if taken.contains(name.text()) {
            out.push(
                &NAME,
                &name,
                format!("another predictor is called `{}` too", name.text()),
            );
        }
        taken.insert(name.text());

        let traffic = canary.at("trafficPercent");
        let percent = traffic.int().unwrap_or(0);
        if !(0..=100).contains(&percent) {
            out.push(
                &TRAFFIC,
                &traffic,
                format!("`trafficPercent` is from 0 to 100; found {percent}"),
            );
        }
        sum = sum.saturating_add(percent);
        check_predictor(service, &predictor, out);
    }
    if sum > 100 {
        out.push(
            &TRAFFIC,
            &list,
            format!("the canaries get {sum} percent of the traffic together; 100 is all of it"),
        );
    }
}

fn check_predictor(service: &Service<'_>, predictor: &Node<'_>, out: &mut Findings<'_>) {
    implementation::check(
        &Component {
            role: Role::Predictor,
            node: *predictor,
        },
        out,
    );
    framework::check_predictor(service, predictor, out);
    replicas::check(predictor, out);
    logger::check(predictor, out);

    let most = predictor.at("maxReplicas");
    if most.int().is_some_and(|value| value != 0) {
        out.push(&SCALING, &most, "a canary has no `maxReplicas`");
    }
    for field in ["scaleTarget", "scaleMetric", "autoScaling", "workerSpec"] {
        let node = predictor.at(field);
        if node.exists() {
            out.push(&SCALING, &node, format!("a canary has no `{field}`"));
        }
    }
    let (least, stable) = (
        predictor.at("minReplicas"),
        service.predictor.at("minReplicas").int().unwrap_or(1),
    );
    if let Some(value) = least.int().filter(|value| *value > stable) {
        let message = format!(
            "a canary has no more `minReplicas` than the stable predictor: {value} is above {stable}"
        );
        out.push(&SCALING, &least, message);
    }
}
