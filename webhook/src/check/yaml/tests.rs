use serde_json::json;

use super::*;
use crate::finding::Step;

fn values(text: &str) -> Vec<Value> {
    let (found, problems) = documents(text);
    assert_eq!(problems, []);
    found.into_iter().map(|document| document.value).collect()
}

fn problem(text: &str) -> String {
    let (_, problems) = documents(text);
    let [problem] = problems.as_slice() else {
        panic!("{problems:?}")
    };
    format!("{}:{}: {}", problem.line, problem.column, problem.message)
}

#[test]
fn scalars_are_those_of_kubectl() {
    for (text, value) in [
        ("yes", json!(true)),
        ("Off", json!(false)),
        ("y", json!(true)),
        ("null", json!(null)),
        ("~", json!(null)),
        ("", json!(null)),
        ("'yes'", json!("yes")),
        ("12", json!(12)),
        ("1_000", json!(1000)),
        ("0x1F", json!(31)),
        ("0o17", json!(15)),
        ("0644", json!(420)),
        ("09", json!(9)),
        ("-3", json!(-3)),
        ("+3", json!(3)),
        ("1.5", json!(1.5)),
        (".5", json!(0.5)),
        ("1e3", json!(1000)),
        ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
        ("1.2.3", json!("1.2.3")),
        ("-", json!([null])),
        ("100m", json!("100m")),
        ("1Gi", json!("1Gi")),
        (".", json!(".")),
        ("2024-01-01", json!("2024-01-01")),
        ("!!str 12", json!("12")),
        ("!!int '12'", json!(12)),
        ("on: off", json!({"true": false})),
        ("8080: 1", json!({"8080": 1})),
    ] {
        if text == "-" || text.contains(": ") {
            assert_eq!(values(text), [value], "{text}");
        } else {
            assert_eq!(values(&format!("v: {text}")), [json!({"v": value})], "{text}");
        }
    }
}

#[test]
fn documents_are_told_apart_and_empty_ones_left_out() {
    let text = "# comment\n---\na: 1\n---\n---\n# nothing\n---\nb: 2\n...\n";
    assert_eq!(values(text), [json!({"a": 1}), json!({"b": 2})]);
    let (found, _) = documents(text);
    assert_eq!(&text[found[1].start..found[1].end].trim(), &"---\nb: 2");
}

#[test]
fn a_broken_document_costs_only_itself() {
    let (found, problems) = documents("a: 1\n---\nb: [1,\n---\nc: {\n---\nd: 4\n");
    let values: Vec<_> = found.into_iter().map(|document| document.value).collect();
    assert_eq!(values.first(), Some(&json!({"a": 1})));
    assert_eq!(values.last(), Some(&json!({"d": 4})));
    assert!(!problems.is_empty());
    assert!(
        problems.iter().all(|problem| (3..=6).contains(&problem.line)),
        "{problems:?}"
    );
}

#[test]
fn keys_are_there_once() {
    assert_eq!(
        problem("a: 1\nb:\n  c: 1\n  c: 2\n"),
        "4:3: the key `c` is there twice"
    );
    assert_eq!(
        problem("x: 0\n---\na: 1\na: 2\n"),
        "4:1: the key `a` is there twice"
    );
}

#[test]
fn merge_keys_and_aliases_are_followed() {
    let text = "base: &base {a: 1, b: 2}\nuse:\n  <<: *base\n  b: 3\nmany:\n  <<: [*base, {c: 4, a: 5}]\n";
    let found = values(text);
    assert_eq!(found[0]["use"], json!({"a": 1, "b": 3}));
    assert_eq!(found[0]["many"], json!({"a": 1, "b": 2, "c": 4}));
    assert!(problem("a: &a 1\nb:\n  <<: *a\n").ends_with("only mappings can be merged by `<<`"));
    assert!(problem("a: &a [*a]\n").ends_with("an alias inside of what it stands for"));
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let before = level - 1;
        let members = vec![format!("*a{before}"); 10].join(", ");
        text.extend([format!("a{level}: &a{level} [{members}]\n")]);
    }
    assert!(problem(&text).ends_with("aliases expand to more than 16 MiB"));
}

#[test]
fn depth_is_bounded() {
    assert!(!documents(&"[".repeat(100_000)).1.is_empty());
    assert!(!documents(&"- ".repeat(100_000)).1.is_empty());
}

#[test]
fn fields_are_found_by_their_key() {
    let text = "spec:\n  list:\n  - name: one\n  - {name: two}\n";
    let spans = Spans::of(text).unwrap();
    let key = |key: &str| Step::Key(key.to_owned());
    let place = |path: &[Step]| {
        let place = spans.find(path);
        (place.line, place.column, place.width)
    };
    assert_eq!(place(&[key("spec")]), (1, 1, 4));
    assert_eq!(
        place(&[key("spec"), key("list"), Step::Index(1), key("name")]),
        (4, 6, 4)
    );
    assert_eq!(place(&[key("spec"), key("none"), key("deeper")]), (1, 1, 4));
}
