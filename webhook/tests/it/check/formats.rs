//! Every output format as a whole, in small files that a person can read. `STOWAGE_UPDATE=1` rewrites them.

use std::{fs, path::PathBuf};

use super::{Done, run_in};

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/check")
}

pub(super) fn check(format: &str) -> Done {
    run_in(&golden(), &["check", "-o", format, "input"], b"")
}

fn compare(file: &str, found: &str) {
    let path = golden().join(file);
    if std::env::var_os("STOWAGE_UPDATE").is_some() {
        fs::write(&path, found).expect("the checkout can be written");
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, wanted, "{}", path.display());
}

#[test]
fn formats_are_as_written_down() {
    for (format, file) in [
        ("text", "text.txt"),
        ("json", "report.json"),
        ("junit", "junit.xml"),
        ("github", "github.txt"),
    ] {
        let done = check(format);
        assert_eq!(done.code, 2, "{format}: {}", done.stderr);
        compare(file, &done.stdout);
        // What could not be read is told there whatever the format is.
        if format == "text" {
            compare("text.stderr.txt", &done.stderr);
        } else {
            compare("stderr.txt", &done.stderr);
        }
    }
}

#[test]
fn there_is_no_color_without_a_terminal() {
    let done = check("text");
    assert!(!done.stdout.contains('\x1b') && !done.stderr.contains('\x1b'));
}
