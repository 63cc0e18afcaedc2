use std::{fs, os::unix::fs::symlink, path::Path};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{layout::layout, walk::File, *};

fn file(path: &str) -> File {
    File {
        path: path.into(),
        size: 10,
        modified_ns: 1,
        inode: 1,
    }
}

/// Lays `paths` out, and compares with `name = path` lines and the beginnings of the warnings.
fn check(paths: &[&str], expected: &[&str], warnings: &[&str]) {
    let mut files: Vec<_> = paths.iter().map(|path| file(path)).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let (models, found) = layout(&files);
    let served: Vec<_> = models
        .iter()
        .map(|(name, model)| format!("{name} = {}", model.path))
        .collect();
    assert_eq!(served, expected, "{paths:?}");
    assert_eq!(found.len(), warnings.len(), "{found:?}");
    for (found, start) in found.iter().zip(warnings) {
        assert!(
            found.starts_with(start),
            "{found:?} does not start with {start:?}"
        );
    }
}

#[test]
fn layouts() {
    check(&[], &[], &[]);
    check(&["m.onnx"], &["m = m.onnx"], &[]);
    check(&["m/model.onnx"], &["m = m/model.onnx"], &[]);
    check(&["m/net.onnx", "m/README.md"], &["m = m/net.onnx"], &[]);
    check(
        &["m/1/model.onnx"],
        &["m = m/1/model.onnx", "m:1 = m/1/model.onnx"],
        &[],
    );
    check(
        &["m/2/model.onnx", "m/10/net.onnx", "m/9/model.onnx"],
        &[
            "m = m/10/net.onnx",
            "m:10 = m/10/net.onnx",
            "m:2 = m/2/model.onnx",
            "m:9 = m/9/model.onnx",
        ],
        &[],
    );
    check(&["README.md", "docs/index.md", "m/1/notes.txt"], &[], &[]);
}

#[test]
fn what_cannot_be_served_is_said() {
    check(
        &["my model.onnx"],
        &[],
        &["my model.onnx: a model's name consists of"],
    );
    check(&["a b/model.onnx"], &[], &["a b/model.onnx: a model's name"]);
    check(
        &["m/a.onnx", "m/b.onnx"],
        &[],
        &["m: several models in one folder (a.onnx, b.onnx)"],
    );
    check(&["m/a.onnx", "m/model.onnx"], &["m = m/model.onnx"], &[]);
    check(&["m/1/a.onnx", "m/1/b.onnx"], &[], &["m/1: several models"]);
    check(
        &["m/v1/model.onnx"],
        &[],
        &["m/v1: a version folder is called by a whole number"],
    );
    check(&["m/01/model.onnx"], &[], &["m/01: a version folder"]);
}

#[test]
fn of_two_sources_always_the_same_is_taken() {
    check(
        &["m.onnx", "m/model.onnx"],
        &["m = m.onnx"],
        &["m/model.onnx: not served as m, which is m.onnx"],
    );
    check(
        &["m.onnx", "m/1/model.onnx"],
        &["m = m.onnx", "m:1 = m/1/model.onnx"],
        &["m/1/model.onnx: not served as m, which is m.onnx"],
    );
    check(
        &["m/model.onnx", "m/3/model.onnx"],
        &["m = m/model.onnx"],
        &["m: has a model of its own and version"],
    );
}

#[test]
fn versions_share_one_model_with_the_bare_name() {
    let (models, _) = layout(&[file("m/1/model.onnx"), file("m/2/model.onnx")]);
    assert_eq!(models["m"].id, models["m:2"].id);
    assert_ne!(models["m"].id, models["m:1"].id);
    assert_eq!(count(&models), 1);
}

#[test]
fn external_data_belongs_to_its_model() {
    let flat = [
        "m.bin",
        "m.onnx",
        "m.onnx.data",
        "m.onnx.md",
        "m.onnx_data",
        "m2.onnx",
        "m2.onnx.data",
        "x.data",
    ];
    let (models, _) = layout(&flat.map(file));
    assert_eq!((models["m"].files, models["m"].bytes), (4, 40));
    assert_eq!(models["m2"].files, 2);

    let own = [
        "m/README.md",
        "m/conv1.weight",
        "m/model.onnx",
        "m/old.onnx",
        "m/request.json",
        "m/weights.bin",
    ];
    let (models, _) = layout(&own.map(file));
    assert_eq!(models["m"].files, 3);
}

#[test]
fn any_change_of_content_is_another_model() {
    let id = |file: File, data: File| layout(&[file, data]).0["m"].id.clone();
    let (model, data) = (file("m.onnx"), file("m.onnx.data"));
    let before = id(model.clone(), data.clone());
    assert!(before.starts_with("m@"));
    assert_eq!(before, id(model.clone(), data.clone()));
    for changed in [
        File {
            size: 11,
            ..data.clone()
        },
        File {
            modified_ns: 2,
            ..data.clone()
        },
        File {
            inode: 2,
            ..data.clone()
        },
    ] {
        assert_ne!(before, id(model.clone(), changed.clone()), "{changed:?}");
    }
    assert_ne!(before, id(File { size: 11, ..model }, data));
}

proptest! {
    #[test]
    fn every_served_path_was_found(
        paths in proptest::collection::btree_set("([a-c]|[12])(/([a-c]|[12])){0,2}(\\.onnx|\\.data)", 0..12),
    ) {
        let files: Vec<_> = paths.iter().map(|path| file(path)).collect();
        let (models, _) = layout(&files);
        for (name, model) in &models {
            prop_assert!(paths.contains(&model.path));
            prop_assert!(name::check(name.split(':').next().unwrap()).is_ok());
        }
        let stems = paths.iter().filter_map(|path| path.strip_suffix(".onnx"));
        for stem in stems.filter(|stem| !stem.contains('/')) {
            prop_assert_eq!(&models[stem].path, &format!("{stem}.onnx"));
        }
    }
}

fn put(root: &Path, path: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, b"content").unwrap();
}

fn names(scan: &Scan) -> Vec<&str> {
    scan.models.keys().map(String::as_str).collect()
}

#[test]
fn finds_models_on_disk() {
    let dir = TempDir::new().unwrap();
    for path in [
        "a.onnx",
        "b/model.onnx",
        "c/1/model.onnx",
        "c/1/deep/er/model.onnx",
        ".git/d.onnx",
        "e.onnx.part",
    ] {
        put(dir.path(), path);
    }
    let scan = walk::scan(dir.path()).unwrap();
    assert_eq!(names(&scan), ["a", "b", "c", "c:1"]);
    assert_eq!(scan.warnings, Vec::<String>::new());
    assert_eq!(scan.models["a"].bytes, 7);

    let again = walk::scan(dir.path()).unwrap();
    assert_eq!(scan, again);
}

#[test]
fn links_stay_inside() {
    let (outside, dir) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    put(outside.path(), "secret.onnx");
    put(outside.path(), "m/model.onnx");
    put(dir.path(), "..2026/real.onnx");
    put(dir.path(), "folder/model.onnx");
    symlink("..2026", dir.path().join("..data")).unwrap();
    symlink("..data/real.onnx", dir.path().join("mounted.onnx")).unwrap();
    symlink("folder", dir.path().join("alias")).unwrap();
    symlink(dir.path().join("nowhere"), dir.path().join("dangling.onnx")).unwrap();
    symlink(outside.path().join("secret.onnx"), dir.path().join("file.onnx")).unwrap();
    symlink(outside.path().join("m"), dir.path().join("tree")).unwrap();

    let scan = walk::scan(dir.path()).unwrap();
    assert_eq!(names(&scan), ["alias", "folder", "mounted"]);
    assert_eq!(scan.warnings.len(), 2, "{:?}", scan.warnings);
    assert!(scan.warnings[0].starts_with("file.onnx: the link leads out of the models folder"));
    assert!(scan.warnings[1].starts_with("tree: the link leads out of the models folder"));
}

#[test]
fn a_models_folder_that_is_a_link_itself_is_fine() {
    let (real, dir) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    put(real.path(), "m.onnx");
    let link = dir.path().join("models");
    symlink(real.path(), &link).unwrap();
    assert_eq!(names(&walk::scan(&link).unwrap()), ["m"]);
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let dir = TempDir::new().unwrap();
    assert!(walk::scan(&dir.path().join("nowhere")).is_err());
}

#[test]
fn a_passing_error_removes_nothing() {
    let (before, _) = layout(&[file("a.onnx"), file("m/1/model.onnx"), file("m2.onnx")]);
    let mut scan = Scan {
        unreadable: vec!["m".into()],
        ..Scan::default()
    };
    scan.keep_unreadable(&before);
    assert_eq!(names(&scan), ["m", "m:1"]);
    let mut scan = Scan {
        unreadable: vec!["a.onnx".into()],
        ..Scan::default()
    };
    scan.keep_unreadable(&before);
    assert_eq!(names(&scan), ["a"]);
}

#[test]
fn ten_thousand_files() {
    let dir = TempDir::new().unwrap();
    for i in 0..10_000 {
        fs::write(dir.path().join(format!("m{i}.onnx")), b"").unwrap();
    }
    let scan = walk::scan(dir.path()).unwrap();
    assert_eq!(count(&scan.models), 10_000);
    assert!(scan.warnings.is_empty());
}
