//! What a model may be called, and which files are nobody's business.

/// Between a model's name and its version: `m:2`.
pub const VERSION_SEPARATOR: char = ':';

/// Longest name in bytes. The id of a model adds a hash to it, and becomes a header and a metric label.
pub const MAX_LEN: usize = 200;

/// Between a stable name and the stamp of a content; no name of a file or a version has it.
pub const STAMP_SEPARATOR: char = '@';

/// Id of one content of `name`: `m@0123456789abcdef`, `m:2@0123456789abcdef`.
pub fn content_id(name: &str, stamp: u64) -> String {
    format!("{name}{STAMP_SEPARATOR}{stamp:016x}")
}

/// Stable name in an id that [`content_id`] made, and the version if it has one; `None` for any other id.
pub fn of_content_id(id: &str) -> Option<(&str, Option<&str>)> {
    let (name, stamp) = id.split_once(STAMP_SEPARATOR)?;
    let is_stamp = stamp.len() == 16 && stamp.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (name, version) = match name.split_once(VERSION_SEPARATOR) {
        Some((name, version)) => (name, Some(version)),
        None => (name, None),
    };
    (is_stamp && check(name).is_ok()).then_some((name, version))
}

/// Why a name cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Longer than [`MAX_LEN`].
    #[error("a model's name has at most {MAX_LEN} bytes, this one has {0}")]
    TooLong(usize),
    /// First character.
    #[error("a model's name starts with a letter or a digit, this one with {0:?}")]
    Start(char),
    /// Any other character.
    #[error("a model's name consists of letters (a-z, A-Z), digits, '.', '_' and '-'; {0:?} is none of them")]
    Character(char),
    /// No character at all.
    #[error("a model needs a name before \".onnx\"")]
    Empty,
}

/// Checks a model's name; it appears in URLs, headers and logs.
pub fn check(name: &str) -> Result<(), NameError> {
    let Some(first) = name.chars().next() else {
        return Err(NameError::Empty);
    };
    if let Some(bad) = name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
    {
        return Err(NameError::Character(bad));
    }
    if !first.is_ascii_alphanumeric() {
        return Err(NameError::Start(first));
    }
    if name.len() > MAX_LEN {
        return Err(NameError::TooLong(name.len()));
    }
    Ok(())
}

/// Hidden files, and what editors, browsers and copying tools write before a file is whole.
pub fn is_ignored(file: &str) -> bool {
    const PARTIAL: [&str; 7] = [".tmp", ".temp", ".part", ".partial", ".swp", ".crdownload", "~"];
    file.starts_with('.') || PARTIAL.iter().any(|end| file.ends_with(end))
}

/// Files beside a model that are not part of it: a change of the README is no new model.
pub fn is_document(file: &str) -> bool {
    const DOCUMENTS: [&str; 9] = [
        ".md", ".txt", ".json", ".yaml", ".yml", ".toml", ".csv", ".py", ".pbtxt",
    ];
    DOCUMENTS
        .iter()
        .any(|end| file.len() > end.len() && file.ends_with(end))
}

/// Version of a folder called like this: a whole number from 1, without leading zeros.
pub fn version(folder: &str) -> Option<u64> {
    let number: u64 = folder.parse().ok()?;
    (number > 0 && number.to_string() == folder).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["m", "iris", "a.b", "a-b_c", "1", "ResNet-50.v2"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        assert_eq!(check(&"m".repeat(MAX_LEN)), Ok(()));
        for (bad, why) in [
            ("", NameError::Empty),
            ("-m", NameError::Start('-')),
            ("_m", NameError::Start('_')),
            ("my model", NameError::Character(' ')),
            ("m:1", NameError::Character(':')),
            ("a/b", NameError::Character('/')),
            ("mod\u{e8}le", NameError::Character('\u{e8}')),
            ("a\n", NameError::Character('\n')),
        ] {
            assert_eq!(check(bad), Err(why), "{bad:?}");
        }
        assert_eq!(
            check(&"m".repeat(MAX_LEN + 1)),
            Err(NameError::TooLong(MAX_LEN + 1))
        );
    }

    #[test]
    fn ids_of_contents() {
        for (name, parts) in [
            ("m", ("m", None)),
            ("m:2", ("m", Some("2"))),
            ("a-b", ("a-b", None)),
        ] {
            for stamp in [0, 1, u64::MAX] {
                assert_eq!(of_content_id(&content_id(name, stamp)), Some(parts));
            }
        }
        for id in [
            "m",
            "m@1",
            "m-0123456789abcdef",
            "m@0123456789abcdeg",
            "@0123456789abcdef",
            "a b@0123456789abcdef",
        ] {
            assert_eq!(of_content_id(id), None, "{id}");
        }
    }

    #[test]
    fn ignored_files() {
        for file in [
            ".hidden",
            ".#m.onnx",
            "m.onnx.tmp",
            "m.onnx.part",
            "m.onnx~",
            "..data",
            ".m.onnx.swp",
        ] {
            assert!(is_ignored(file), "{file}");
        }
        for file in ["m.onnx", "m.onnx.data", "part.onnx", "tmp"] {
            assert!(!is_ignored(file), "{file}");
        }
    }

    #[test]
    fn versions() {
        assert_eq!(version("1"), Some(1));
        assert_eq!(version("18446744073709551615"), Some(u64::MAX));
        for folder in ["0", "01", "v1", "+1", "-1", "1.0", "", "18446744073709551616"] {
            assert_eq!(version(folder), None, "{folder}");
        }
    }
}
