//! The definitions in `manifests/crds` are what the types give.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use api::resources::{Kind, crd};
use serde_json::Value;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/crds")
}

#[test]
fn definitions_are_as_generated() {
    for kind in Kind::ALL {
        let path = folder().join(crd::file_name(kind));
        let found = fs::read_to_string(&path).unwrap_or_default();
        let generated = crd::yaml(kind).expect("serializes");
        assert!(
            found == generated,
            "{} differs from the types: run `make manifests`",
            path.display()
        );
    }
}

#[test]
fn yaml_reads_back_as_it_was() {
    for kind in Kind::ALL {
        let text = crd::yaml(kind).expect("serializes");
        let read: Value = serde_saphyr::from_str(&text).expect("parses");
        assert_eq!(read, crd::definition(kind), "{}", kind.name());
    }
}

#[test]
fn no_other_file_is_there() {
    let expected: BTreeSet<String> = Kind::ALL.into_iter().map(crd::file_name).collect();
    let found: BTreeSet<String> = fs::read_dir(folder())
        .expect("manifests/crds is there")
        .map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"))
        .collect();
    assert_eq!(found, expected);
}
