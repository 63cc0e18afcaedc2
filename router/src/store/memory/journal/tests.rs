use bytes::Bytes;
use tempfile::TempDir;

use super::*;

fn put(key: &str) -> [Op; 1] {
    let value = Bytes::from_static(b"value");
    [Op::Put {
        key: key.into(),
        value,
    }]
}

/// A file with these bytes.
fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// The lines of a store with three keys.
fn lines() -> Vec<u8> {
    let (_folder, path) = file(b"");
    let mut journal = Journal::open(&path, &mut State::default()).unwrap();
    for (revision, key) in [(1, "a"), (2, "b"), (7, "c")] {
        journal.append(revision, &put(key)).unwrap();
    }
    fs::read(&path).unwrap()
}

/// Keys after opening.
fn keys(path: &Path) -> Result<Vec<String>, JournalError> {
    let mut state = State::default();
    Journal::open(path, &mut state)?;
    Ok(state
        .under("")
        .iter()
        .map(|entry| entry.key.to_string())
        .collect())
}

#[test]
fn an_unfinished_write_is_cut_off_wherever_it_ends() {
    let whole = lines();
    let last = whole[..whole.len() - 1]
        .iter()
        .rposition(|&byte| byte == b'\n')
        .unwrap()
        + 1;
    for end in last..whole.len() {
        let (_folder, path) = file(&whole[..end]);
        assert_eq!(keys(&path).unwrap(), ["a", "b"], "{end}");
        assert_eq!(fs::metadata(&path).unwrap().len(), last as u64);
        let mut state = State::default();
        let mut journal = Journal::open(&path, &mut state).unwrap();
        journal.append(state.revision() + 1, &put("d")).unwrap();
        drop(journal);
        assert_eq!(keys(&path).unwrap(), ["a", "b", "d"]);
    }
    // As after a power failure: blocks that were never written.
    let (_folder, path) = file(&[&whole[..], &[0; 512], b"\n\0\n"].concat());
    assert_eq!(keys(&path).unwrap(), ["a", "b", "c"]);
}

#[test]
fn damage_in_the_middle_is_reported_and_left_alone() {
    let whole = lines();
    let second = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let third = second + whole[second..].iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for at in second..third {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        let (_folder, path) = file(&bytes);
        let err = keys(&path).unwrap_err().to_string();
        assert!(err.contains("is damaged in line 2: it"), "{at}: {err}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn a_line_that_is_sealed_but_means_nothing_is_damage() {
    for (text, reason) in [
        ("{}", "no line of a store, column 2"),
        (r#"{"r":1,"w":[{"k":"a","b":"?"}]}"#, "`b` holds no base64"),
    ] {
        let (_folder, path) = file((line::seal(HEADER) + &line::seal(text)).as_bytes());
        let err = keys(&path).unwrap_err().to_string();
        assert!(err.contains(&format!("damaged in line 2: {reason};")), "{err}");
    }
}

#[test]
fn other_files_are_left_alone() {
    let newer = line::seal(&HEADER.replace('1', "2"));
    for text in ["notes\n", "notes", newer.as_str(), "\n"] {
        let (_folder, path) = file(text.as_bytes());
        let err = keys(&path).unwrap_err().to_string();
        assert!(
            err.contains("is no store file of this version"),
            "{text:?}: {err}"
        );
        assert_eq!(fs::read(&path).unwrap(), text.as_bytes());
    }
}

#[test]
fn a_failed_rewrite_keeps_the_old_file() {
    let (folder, path) = file(b"");
    let mut state = State::default();
    let mut journal = Journal::open(&path, &mut state).unwrap();
    journal.append(1, &put("a")).unwrap();
    // A folder where the new file would be.
    fs::create_dir(folder.path().join("store.new")).unwrap();
    journal.rewrite(&[]);
    journal.append(2, &put("b")).unwrap();
    fs::remove_dir(folder.path().join("store.new")).unwrap();
    drop(journal);
    assert_eq!(keys(&path).unwrap(), ["a", "b"]);
}
