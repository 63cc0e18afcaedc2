//! A denied object stays denied, whatever is done to parts of it that do not matter.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use webhook::{Finding, Mode, Options, default, patch, validate};

use crate::{
    every_rule::{Case, cases},
    objects::{lines, options},
};

/// Something done to an object that does not make it better.
#[derive(Debug, Clone)]
enum Change {
    Label(String),
    Annotation(String),
    UnknownField(usize, String, Value),
    /// Upper and lower case of the n-th key of the object.
    Case(usize, u64),
    /// Suppress every rule there is.
    SuppressAll,
    Finalizer,
}

fn change() -> impl Strategy<Value = Change> {
    let word = "[a-z]{1,8}";
    let value = prop_oneof![
        Just(json!(null)),
        Just(json!(-1)),
        Just(json!({"a": []})),
        word.prop_map(|text| json!(text))
    ];
    prop_oneof![
        word.prop_map(Change::Label),
        word.prop_map(Change::Annotation),
        (any::<usize>(), "x[a-z]{6,9}", value)
            .prop_map(|(at, name, value)| Change::UnknownField(at, name, value)),
        (any::<usize>(), 1_u64..).prop_map(|(at, bits)| Change::Case(at, bits)),
        Just(Change::SuppressAll),
        Just(Change::Finalizer),
    ]
}

/// Every object below `value`, but for metadata and maps whose keys are the user's.
fn objects<'a>(value: &'a mut Value, out: &mut Vec<&'a mut Map<String, Value>>) {
    const FREE: [&str; 9] = [
        "metadata",
        "annotations",
        "labels",
        "limits",
        "requests",
        "parameters",
        "nodes",
        "status",
        "livenessProbe",
    ];
    match value {
        Value::Object(members) => {
            // Two passes: an object and what is in it cannot be borrowed together.
            if members
                .values()
                .all(|member| !member.is_object() && !member.is_array())
            {
                out.push(members);
            } else {
                for (key, member) in members {
                    if !FREE.contains(&key.as_str()) {
                        objects(member, out);
                    }
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| objects(element, out)),
        _ => {}
    }
}

fn apply(object: &mut Value, change: &Change) {
    match change {
        Change::Label(word) => object["metadata"]["labels"][word] = json!(word),
        Change::Annotation(word) => object["metadata"]["annotations"][word] = json!(word),
        Change::Finalizer => object["metadata"]["finalizers"] = json!(["a/b"]),
        Change::SuppressAll => {
            for rule in webhook::RULES
                .iter()
                .filter(|rule| rule.compat == webhook::Severity::Deny)
            {
                object["metadata"]["annotations"][format!("stowage.dev/suppress.{}", rule.id)] =
                    json!("please");
            }
        }
        Change::UnknownField(at, name, value) => {
            let mut places = Vec::new();
            objects(&mut object["spec"], &mut places);
            let count = places.len().max(1);
            match places.into_iter().nth(at % count) {
                Some(place) => {
                    place.insert(name.clone(), value.clone());
                }
                None => object[name] = value.clone(),
            }
        }
        Change::Case(at, bits) => {
            let keys = [
                "spec",
                "metadata",
                "predictor",
                "transformer",
                "explainer",
                "model",
                "containers",
                "nodes",
            ];
            let key = keys[at % keys.len()];
            let other: String = key
                .chars()
                .enumerate()
                .map(|(n, letter)| {
                    if bits >> (n % 64) & 1 == 1 {
                        letter.to_ascii_uppercase()
                    } else {
                        letter
                    }
                })
                .collect();
            for parent in [
                "",
                "/spec",
                "/spec/predictor",
                "/spec/transformer",
                "/spec/explainer",
            ] {
                let Some(Value::Object(members)) = object.pointer_mut(parent) else {
                    continue;
                };
                if other != key
                    && let Some(value) = members.remove(key)
                {
                    members.insert(other.clone(), value);
                }
            }
        }
    }
}

fn verdict(case: &Case, object: &Value, options: &Options) -> Vec<Finding> {
    let (request, snapshot) = (case.request(object), case.snapshot());
    let defaulted = default(&request, snapshot, options);
    let mut object = object.clone();
    patch::apply(&mut object, &defaulted.patch).expect("the patch applies");
    let mut findings = defaulted.findings;
    findings.extend(validate(
        &webhook::Request {
            object: Some(&object),
            ..request
        },
        snapshot,
        options,
    ));
    findings
}

fn denied(findings: &[Finding]) -> bool {
    findings.iter().any(Finding::denies)
}

/// The cases whose bad object is denied in a mode.
fn denied_cases() -> &'static [(&'static Case, Mode)] {
    static DENIED: LazyLock<Vec<(&'static Case, Mode)>> = LazyLock::new(|| {
        let each = cases()
            .iter()
            .flat_map(|case| [(case, Mode::Compat), (case, Mode::Strict)]);
        each.filter(|(case, mode)| denied(&verdict(case, &case.bad, &options(*mode))))
            .collect()
    });
    &DENIED
}

/// Does the changes to a denied object, and gives what is found then if it passes.
fn passing(case: &Case, mode: Mode, changes: &[Change]) -> Option<String> {
    let mut object = case.bad.clone();
    for change in changes {
        apply(&mut object, change);
    }
    let found = verdict(case, &object, &options(mode));
    (!denied(&found)).then(|| format!("{} {mode:?} passes: {object}{}", case.rule, lines(&found)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn no_irrelevant_change_makes_a_denied_object_pass(
        pick in any::<prop::sample::Index>(),
        changes in prop::collection::vec(change(), 1..5),
    ) {
        let (case, mode) = pick.get(denied_cases());
        prop_assert_eq!(passing(case, *mode, &changes), None);
    }
}

#[test]
fn no_denied_object_passes_after_one_change_of_each_kind() {
    let changes = [
        Change::Label("a".to_owned()),
        Change::Annotation("a".to_owned()),
        Change::UnknownField(0, "xfield".to_owned(), json!({"a": 1})),
        Change::Case(0, 1),
        Change::Case(2, 2),
        Change::SuppressAll,
        Change::Finalizer,
    ];
    let mut failures = Vec::new();
    for (case, mode) in denied_cases() {
        failures.extend(
            changes
                .iter()
                .filter_map(|change| passing(case, *mode, std::slice::from_ref(change))),
        );
    }
    crate::shared::report(&failures);
}

#[test]
fn a_field_in_another_case_is_no_way_around_a_rule() {
    for key in ["Spec", "sPec", "\u{17f}pec"] {
        let mut object = crate::objects::predictor(json!({"minReplicas": -1}));
        let spec = object["spec"].take();
        object.as_object_mut().expect("an object").remove("spec");
        object[key] = spec.clone();
        assert!(
            denied(&crate::objects::findings(
                &object,
                &crate::shipped::cluster(),
                Mode::Compat
            )),
            "{key}"
        );
        // A decoder that takes either would see the bad one beside the good one.
        object["spec"] = crate::objects::predictor(json!({}))["spec"].clone();
        let found = crate::objects::findings(&object, &crate::shipped::cluster(), Mode::Compat);
        assert!(
            found
                .iter()
                .any(|finding| finding.rule.id == "OB-S02" && finding.denies()),
            "{key}{}",
            lines(&found)
        );
    }
    let object = crate::objects::predictor(json!({"min\u{212a}eplicas": 1}));
    assert!(
        !denied(&crate::objects::findings(
            &object,
            &crate::shipped::cluster(),
            Mode::Compat
        )),
        "another word"
    );
}
