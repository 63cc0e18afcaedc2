//! Annotations by which a ModelMesh runtime scales: what ModelMesh Serving's own webhook checks.

use api::names::annotations::{
    AUTOSCALER_METRICS as METRICS, MAX_SCALE, MIN_SCALE, TARGET_UTILIZATION_PERCENTAGE as TARGET_PERCENTAGE,
};

use super::{KINDS, RuntimeObject};
use crate::{
    names,
    rules::{DENY, Rule, service::metadata::AUTOSCALER_CLASSES, sink::Findings},
    suggest,
};

pub(crate) static CLASS: Rule = Rule {
    id: "MM-V01",
    title: "autoscaler class of a mesh",
    scope: KINDS,
    stateless: true,
    doc: "The annotation `serving.kserve.io/autoscalerClass` of a multi-model runtime is `hpa`.",
    why: "The controller knows no other autoscaler.",
    fix: "Write `hpa`, or remove the annotation.",
    cel: Some(
        "!variables.spec.?multiModel.orValue(false) || \
         variables.annotations[?'serving.kserve.io/autoscalerClass'].orValue('hpa') == 'hpa'",
    ),
    ..DENY
};

pub(crate) static METRIC: Rule = Rule {
    id: "MM-V02",
    title: "metric of a mesh",
    scope: KINDS,
    stateless: true,
    doc: "With the class `hpa`, the annotation `serving.kserve.io/metrics` is `cpu` or `memory`.",
    why: "An HPA of a mesh scales on nothing else.",
    fix: "Write `cpu` or `memory`, or remove the annotation, which means `cpu`.",
    cel: Some(
        "!variables.spec.?multiModel.orValue(false) || \
         variables.annotations[?'serving.kserve.io/autoscalerClass'].orValue('') != 'hpa' || \
         variables.annotations[?'serving.kserve.io/metrics'].orValue('cpu') in ['cpu', 'memory']",
    ),
    ..DENY
};

pub(crate) static TARGET: Rule = Rule {
    id: "MM-V03",
    title: "target of a mesh",
    scope: KINDS,
    stateless: true,
    doc: "The annotation `serving.kserve.io/targetUtilizationPercentage` is a whole number from 1 to 100.",
    why: "It is the share of the request at which pods are added.",
    fix: "Write a percentage without the sign, for example `75`.",
    cel: Some(
        "!variables.spec.?multiModel.orValue(false) || \
         variables.annotations[?'serving.kserve.io/targetUtilizationPercentage'].orValue('1')\
         .matches('^[+]?0*([1-9][0-9]?|100)$')",
    ),
    ..DENY
};

pub(crate) static REPLICAS: Rule = Rule {
    id: "MM-V04",
    title: "replicas or autoscaler",
    scope: KINDS,
    stateless: true,
    doc: "A multi-model runtime with the class `hpa` has no `spec.replicas`.",
    why: "Both set the number of pods.",
    fix: "Remove `replicas`; use the annotations `serving.kserve.io/min-scale` and `max-scale`.",
    cel: Some(
        "!variables.spec.?multiModel.orValue(false) || \
         variables.annotations[?'serving.kserve.io/autoscalerClass'].orValue('') != 'hpa' || \
         variables.spec.?replicas.orValue(65535) == 65535",
    ),
    ..DENY
};

pub(crate) static SCALE: Rule = Rule {
    id: "MM-V05",
    title: "scale of a mesh",
    scope: KINDS,
    stateless: true,
    doc: "With the class `hpa`, the annotation `serving.kserve.io/min-scale` is at least 1 and not above \
          `serving.kserve.io/max-scale`; both are 1 when absent.",
    why: "The HPA would be refused.",
    fix: "Set both annotations.",
    cel: Some(
        "!variables.spec.?multiModel.orValue(false) || \
         variables.annotations[?'serving.kserve.io/autoscalerClass'].orValue('') != 'hpa' || \
         (variables.annotations[?'serving.kserve.io/min-scale'].orValue('1').matches('^[+]?0*[1-9][0-9]{0,8}$') && \
         variables.annotations[?'serving.kserve.io/max-scale'].orValue('1').matches('^[+]?0*[1-9][0-9]{0,8}$') && \
         int(variables.annotations[?'serving.kserve.io/min-scale'].orValue('1').replace('+', '')) <= \
         int(variables.annotations[?'serving.kserve.io/max-scale'].orValue('1').replace('+', '')))",
    ),
    ..DENY
};

/// Upstream's number for "not set".
const UNSET_REPLICAS: i64 = 65535;

pub(super) fn check(runtime: &RuntimeObject<'_>, out: &mut Findings<'_>) {
    let annotation = |key| runtime.review.annotation(key);
    let class = annotation(names::AUTOSCALER_CLASS);
    if let Some(text) = class.str().filter(|text| *text != "hpa") {
        let known = AUTOSCALER_CLASSES.contains(&text);
        let hint = if known {
            None
        } else {
            suggest::nearest(text, ["hpa"]).map(|_| "did you mean `hpa`?".to_owned())
        };
        out.push(
            &CLASS,
            &class,
            format!("a mesh knows the autoscaler class `hpa` only; found `{text}`"),
        )
        .hint(hint);
    }

    let target = annotation(TARGET_PERCENTAGE);
    if let Some(text) = target.str()
        && !text
            .parse::<i64>()
            .is_ok_and(|percent| (1..=100).contains(&percent))
    {
        let message = format!("the target is a whole percentage from 1 to 100; found `{text}`");
        out.push(&TARGET, &target, message);
    }
    if class.str() != Some("hpa") {
        return;
    }

    let metric = annotation(METRICS);
    if let Some(text) = metric.str().filter(|text| !matches!(*text, "cpu" | "memory")) {
        out.push(
            &METRIC,
            &metric,
            format!("an HPA of a mesh does not scale on `{text}`"),
        )
        .hint(suggest::hint(text, ["cpu", "memory"]));
    }
    let replicas = runtime.spec.at("replicas");
    if replicas.int().is_some_and(|number| number != UNSET_REPLICAS) {
        out.push(
            &REPLICAS,
            &replicas,
            "`replicas` and the autoscaler class `hpa` exclude each other",
        );
    }
    scale(runtime, out);
}

fn scale(runtime: &RuntimeObject<'_>, out: &mut Findings<'_>) {
    let (least, most) = (
        runtime.review.annotation(MIN_SCALE),
        runtime.review.annotation(MAX_SCALE),
    );
    let mut number = |node: &crate::node::Node<'_>, key: &str| match node.str().map(str::parse::<i64>) {
        None => Some(1),
        Some(Ok(number)) => Some(number),
        Some(Err(_)) => {
            out.push(
                &SCALE,
                node,
                format!("`{key}` must be a whole number; found `{}`", node.text()),
            );
            None
        }
    };
    let (Some(min), Some(max)) = (number(&least, MIN_SCALE), number(&most, MAX_SCALE)) else {
        return;
    };
    if min < 1 {
        out.push(
            &SCALE,
            &least,
            format!("`{MIN_SCALE}` must be at least 1; found {min}"),
        );
    } else if min > max {
        let default = if most.exists() { "" } else { " (its default)" };
        out.push(
            &SCALE,
            &least,
            format!("`{MIN_SCALE}` {min} is above `{MAX_SCALE}` {max}{default}"),
        );
    }
}
