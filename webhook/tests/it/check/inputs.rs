//! Files, folders, standard input; what is broken, huge or hostile.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
};

use serde_json::{Value, json};

use super::{DENIED, Folder, GOOD, run_in, service};

#[test]
fn exit_codes_tell_allowed_denied_and_unreadable_apart() {
    let folder = Folder::with(&[
        ("good.yaml", &service("iris", GOOD)),
        ("denied.yaml", &service("iris", DENIED)),
        ("broken.yaml", "kind: InferenceService\n"),
        ("other.yaml", "apiVersion: v1\nkind: Pod\n"),
        ("empty.yaml", "# nothing\n"),
    ]);
    for (args, code) in [
        (&["good.yaml"][..], 0),
        (&["other.yaml", "empty.yaml"], 0),
        (&["good.yaml", "denied.yaml"], 1),
        (&["denied.yaml", "broken.yaml"], 2),
        (&["good.yaml", "missing.yaml"], 2),
        (&["good.yaml", "--context", "missing.yaml"], 2),
        (&["good.yaml", "--mode", "loose"], 2),
        (&[], 2),
    ] {
        let done = folder.run(&[&["check"], args].concat());
        assert_eq!(done.code, code, "{args:?}: {done:?}");
        assert_eq!(code == 2, !done.stderr.is_empty(), "{args:?}: {done:?}");
    }
}

#[test]
fn the_rest_is_checked_when_something_cannot_be_read() {
    let text = format!(
        "kind: Nothing\n---\n{}---\n a: [\n---\n{}",
        service("one", DENIED),
        service("two", GOOD)
    );
    let folder = Folder::with(&[("a.yaml", &text), ("b.yaml", &service("three", GOOD))]);
    let (code, report) = folder.check(&["missing", "a.yaml", "b.yaml"]);
    assert_eq!(code, 2);
    let names: Vec<_> = report
        .iter()
        .map(|object| (&object["name"], &object["allowed"]))
        .collect();
    assert_eq!(
        names,
        [
            (&json!("one"), &json!(false)),
            (&json!("two"), &json!(true)),
            (&json!("three"), &json!(true))
        ]
    );
}

#[test]
fn standard_input_and_folders_are_read() {
    let done = run_in(
        Folder::with(&[]).0.path(),
        &["check", "-o", "json", "-"],
        service("iris", DENIED).as_bytes(),
    );
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((done.code, &report[0]["file"]), (1, &json!("-")));

    let folder = Folder::with(&[
        ("b/deep/er.yml", &service("b", GOOD)),
        ("a.json", r#"{"apiVersion": "v1", "kind": "List", "items": []}"#),
        ("a.yaml", &service("a", GOOD)),
        ("kustomization.yaml", "resources: [a.yaml]\n"),
        ("notes.txt", "no manifest"),
        (".git/x.yaml", "no: manifest\n"),
    ]);
    let (code, report) = folder.check(&[".", "a.yaml"]);
    let files: Vec<_> = report
        .iter()
        .map(|object| object["file"].as_str().unwrap())
        .collect();
    assert_eq!((code, files), (0, vec!["./a.yaml", "./b/deep/er.yml"]));
}

#[test]
fn a_folder_without_manifests_is_told() {
    let folder = Folder::with(&[("notes.txt", "x")]);
    let done = folder.run(&["check", "."]);
    assert_eq!(done.code, 0);
    assert!(
        done.stderr.contains("no file that ends in .yaml"),
        "{}",
        done.stderr
    );
}

#[test]
fn lists_are_unpacked_and_indexed() {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Pod"},
        {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": "iris"},
         "spec": {"predictor": {"minReplicas": 3, "maxReplicas": 1, "model": {"modelFormat": {"name": "x"}}}}},
    ]});
    let folder = Folder::with(&[("list.json", &format!("{list:#}"))]);
    let (_, report) = folder.check(&["list.json"]);
    assert_eq!((report.len(), &report[0]["index"]), (1, &json!(1)));
    let line = report[0]["findings"][0]["line"].as_u64().unwrap();
    let text = fs::read_to_string(folder.path("list.json")).unwrap();
    let shown = text.lines().nth(usize::try_from(line - 1).unwrap()).unwrap();
    assert!(shown.contains("minReplicas"), "{shown}");
}

#[test]
fn hostile_inputs_are_refused_with_words() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..40 {
        let members = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.extend([format!("a{level}: &a{level} [{members}]\n")]);
    }
    let folder = Folder::with(&[
        ("bomb.yaml", &bomb),
        ("twice.yaml", "apiVersion: v1\nkind: Pod\nkind: Pod\n"),
        (
            "twice.json",
            "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"kind\": \"Pod\"}",
        ),
        ("deep.yaml", &"[".repeat(200_000)),
        ("deep.json", &"{\"a\":".repeat(200_000)),
        ("half.yaml", "apiVersion: v1\nkind: [\n"),
    ]);
    fs::write(folder.path("binary.yaml"), [0x7f, b'E', b'L', b'F', 0, 1, 2]).unwrap();
    fs::write(folder.path("latin.yaml"), [b'a', b':', b' ', 0xe9]).unwrap();
    // Holes need no disk.
    File::create(folder.path("huge.yaml"))
        .unwrap()
        .set_len(65 << 20)
        .unwrap();
    symlink("nowhere", folder.path("dangling.yaml")).unwrap();
    for (file, words) in [
        ("bomb.yaml", "aliases expand to more than 16 MiB"),
        ("twice.yaml", "the key `kind` is there twice"),
        ("twice.json", "the key `kind` is there twice"),
        ("deep.yaml", "error"),
        ("deep.json", "error"),
        ("half.yaml", "half.yaml:"),
        ("binary.yaml", "is no text: byte 4"),
        ("latin.yaml", "is no text: byte 3"),
        ("huge.yaml", "has more than 64 MiB"),
        ("dangling.yaml", "No such file"),
    ] {
        let done = folder.run(&["check", file]);
        assert_eq!(done.code, 2, "{file}: {done:?}");
        assert!(done.stderr.contains(words), "{file}: {}", done.stderr);
        assert!(!done.stderr.contains("panicked"), "{file}: {}", done.stderr);
    }
}

#[test]
fn links_are_followed_once() {
    let folder = Folder::with(&[("real/a.yaml", &service("a", GOOD))]);
    symlink("..", folder.path("real/up")).unwrap();
    symlink("real", folder.path("again")).unwrap();
    symlink("a.yaml", folder.path("real/b.yaml")).unwrap();
    let (code, report) = folder.check(&["."]);
    assert_eq!((code, report.len()), (0, 1));
}

/// More files than threads.
#[test]
fn many_files_are_reported_in_order() {
    let files: Vec<(String, String)> = (0..80)
        .map(|number| {
            let predictor = if number % 2 == 0 { GOOD } else { DENIED };
            let text = service(&format!("s{number}"), predictor);
            (format!("{number:03}.yaml"), text)
        })
        .collect();
    let borrowed: Vec<_> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let folder = Folder::with(&borrowed);
    let (code, report) = folder.check(&["."]);
    assert_eq!((code, report.len()), (1, 80));
    for (number, object) in report.iter().enumerate() {
        assert_eq!(object["file"], format!("./{number:03}.yaml"));
        assert_eq!(object["allowed"], number % 2 == 0);
    }
}
