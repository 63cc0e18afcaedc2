use proptest::{collection::vec, prelude::*};

use super::*;

fn kinds(text: &str) -> Vec<(usize, Option<Kind>)> {
    let manifest = read(text);
    assert_eq!(manifest.problems, []);
    manifest
        .objects
        .iter()
        .map(|object| (object.index, object.kind))
        .collect()
}

fn problem(text: &str) -> String {
    let manifest = read(text);
    let [problem] = manifest.problems.as_slice() else {
        panic!("{:?}", manifest.problems)
    };
    format!("{}: {}", problem.line, problem.message)
}

const SERVICE: &str = "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\n";

#[test]
fn other_kinds_are_told_apart_from_ours() {
    let text = format!("apiVersion: v1\nkind: ConfigMap\n---\n{SERVICE}");
    assert_eq!(kinds(&text), [(0, None), (1, Some(Kind::InferenceService))]);
    assert_eq!(
        kinds("apiVersion: serving.kserve.io/v1alpha1\nkind: LLMInferenceService\n"),
        [(0, None)]
    );
    // The rules say what is wrong with these.
    for wrong in [
        "apiVersion: serving.kserve.io/v1beta2\nkind: InferenceService\n",
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceServce\n",
    ] {
        assert_eq!(kinds(wrong), [(0, Some(Kind::InferenceService))]);
    }
}

#[test]
fn lists_are_unpacked_in_order() {
    let text = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Secret"},
        {"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod"}]},
        {"apiVersion": "serving.kserve.io/v1alpha1", "kind": "TrainedModel"}
    ]} {"apiVersion": "v1", "kind": "Pod"}"#;
    assert_eq!(
        kinds(text),
        [(0, None), (1, None), (2, Some(Kind::TrainedModel)), (3, None)]
    );
    let text =
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceServiceList\nitems:\n- metadata: {name: a}\n";
    assert_eq!(kinds(text), [(0, Some(Kind::InferenceService))]);
}

#[test]
fn fields_inside_of_lists_are_found() {
    let text = format!(
        "---\n# a list\napiVersion: v1\nkind: List\nitems:\n- {}  spec:\n    predictor: {{}}\n",
        SERVICE.replace('\n', "\n  ").trim_end_matches(' ')
    );
    let manifest = read(&text);
    let field = FieldPath(vec![Step::Key("spec".into()), Step::Key("predictor".into())]);
    let place = Locator::new(&text).find(&manifest.objects[0], &field);
    assert_eq!((place.line, place.column, place.width), (9, 5, 9));
}

#[test]
fn what_is_no_object_is_said() {
    assert_eq!(
        problem("- a\n- b\n"),
        "1: no Kubernetes object: it is a list, not a mapping"
    );
    assert_eq!(
        problem("apiVersion: v1\nKind: Pod\n"),
        "1: no Kubernetes object: `kind` is missing (it has `Kind`)"
    );
    assert_eq!(
        problem("apiVersion: v1\nkind: List\nitems:\n- 3\n"),
        "1: items[0]: no Kubernetes object: it is a single value, not a mapping"
    );
    assert_eq!(
        problem("apiVersion: 1\nkind: Pod\n"),
        "1: no Kubernetes object: `apiVersion` must be a text"
    );
}

#[test]
fn json_is_read_as_such_and_flow_style_as_yaml() {
    let escaped = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"\ud83d\ude00\/"}}"#;
    assert_eq!(read(escaped).objects[0].metadata("name"), "😀/");
    assert_eq!(
        kinds("{apiVersion: v1, kind: Pod}\n---\n{apiVersion: v1, kind: Pod}\n").len(),
        2
    );
    assert_eq!(
        problem("{\"apiVersion\": \"v1\",\n \"kind\": \"Pod\", \"kind\": \"Pod\"}"),
        "2: the key `kind` is there twice"
    );
}

/// A manifest with some of its bytes exchanged, or no manifest at all.
fn text() -> impl Strategy<Value = String> {
    let exchanged = (vec((any::<usize>(), any::<u8>()), 0..8), any::<bool>()).prop_map(|(changes, json)| {
        let base = if json {
            r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod","x":[1,2.5,"\u00e9"]}]}"#.to_owned()
        } else {
            format!("---\n{SERVICE}metadata: &m {{name: a}}\nspec:\n  x: *m\n  <<: *m\n---\n- b\n...\n")
        };
        let mut bytes = base.into_bytes();
        for (place, byte) in changes {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let bytes = vec(any::<u8>(), 0..200).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    prop_oneof![exchanged, bytes, "[-:{}\\[\\],&*<>|?!'\"# \n\ta-z0-9]{0,120}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_reading_panic(text in text()) {
        let manifest = read(&text);
        let lines = text.lines().count() + 1;
        for problem in &manifest.problems {
            prop_assert!(problem.line <= lines, "{problem:?}");
        }
        for object in &manifest.objects {
            let field = FieldPath(vec![Step::Key("spec".to_owned()), Step::Index(0)]);
            let place = Locator::new(&text).find(object, &field);
            prop_assert!((1..=lines).contains(&place.line), "{place:?}");
        }
    }
}
