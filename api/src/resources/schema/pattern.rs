//! The patterns that schemas here have, as code and in words; so no engine for regular expressions is needed.

use super::super::quantity;

/// A pattern as code and in words.
pub(super) struct Pattern {
    pub(super) matches: fn(&str) -> bool,
    /// Reads on from "must be".
    pub(super) words: &'static str,
}

/// The pattern for a regular expression of a schema; a test holds that each one of them is known.
pub(super) fn known(pattern: &str) -> Option<Pattern> {
    Some(match pattern {
        quantity::PATTERN => Pattern {
            matches: |text| quantity::Quantity::from(text).nanos().is_ok(),
            words: "a quantity such as `500m`, `4` or `2Gi`",
        },
        "^[a-z]([-a-z0-9]*[a-z0-9])?$" => Pattern {
            matches: is_name,
            words: "lower-case letters, digits and `-`, beginning with a letter and ending with a letter or digit",
        },
        "^/.*" => Pattern {
            matches: |text| text.starts_with('/'),
            words: "a path that begins with `/`",
        },
        _ => return None,
    })
}

fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(allowed) && !text.ends_with('-')
}
