//! "Did you mean": the known word that is likely meant by an unknown one.

mod nearest;

/// Most candidates that a word is compared with, so that a suggestion costs little in any cluster.
const MOST: usize = 1024;

/// The candidate that was likely meant by `word`, if one is near.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest::nearest(word, candidates.into_iter().take(MOST))
}

/// The hint for an unknown word: the nearest known one, or the list of what is known.
pub(crate) fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    if let Some(near) = nearest(word, candidates.clone()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let verb = if candidates.clone().into_iter().nth(1).is_some() {
        "are"
    } else {
        "is"
    };
    let known = list(candidates);
    (!known.is_empty()).then(|| format!("known {verb} {known}"))
}

/// `` `a`, `b` and `c` ``; at most eight are named.
pub(crate) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 8;
    let words: Vec<&str> = words.into_iter().collect();
    let quoted: Vec<String> = words.iter().take(SHOWN).map(|word| format!("`{word}`")).collect();
    match (quoted.as_slice(), words.len().saturating_sub(SHOWN)) {
        ([], _) => String::new(),
        ([one], 0) => one.clone(),
        ([head @ .., last], 0) => format!("{} and {last}", head.join(", ")),
        (shown, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_the_near_word_or_all_of_them() {
        let formats = ["sklearn", "xgboost", "onnx"];
        assert_eq!(
            hint("skleran", formats).as_deref(),
            Some("did you mean `sklearn`?")
        );
        assert_eq!(
            hint("pytorch", formats).as_deref(),
            Some("known are `sklearn`, `xgboost` and `onnx`")
        );
        assert_eq!(hint("pytorch", ["onnx"]).as_deref(), Some("known is `onnx`"));
        assert_eq!(hint("pytorch", []), None);
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(list([]), "");
        assert_eq!(list(["a"]), "`a`");
        assert_eq!(list(["a", "b", "c"]), "`a`, `b` and `c`");
        assert_eq!(
            list(["1", "2", "3", "4", "5", "6", "7", "8", "9"])
                .matches('`')
                .count(),
            16
        );
    }
}
