//! "Did you mean": the known word that is likely meant by an unknown one.

/// Longer words are no slips, and comparing them would cost.
const LONGEST: usize = 64;

/// The candidate nearest to `word`, ignoring case, if it is near enough to be a slip: one edit for every three
/// letters, and no more than three.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let budget = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::osa_distance(&word, &candidate.to_ascii_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= budget)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The hint for an unknown word: the nearest known one, or the list of what is known.
pub(crate) fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    if let Some(near) = nearest(word, candidates.clone()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let known = list(candidates);
    (!known.is_empty()).then(|| format!("known are {known}"))
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
    fn slips_are_found_and_other_words_are_not() {
        let formats = ["sklearn", "xgboost", "onnx"];
        assert_eq!(nearest("skleran", formats), Some("sklearn"));
        assert_eq!(nearest("SKLearn", formats), Some("sklearn"));
        assert_eq!(nearest("onx", formats), Some("onnx"));
        assert_eq!(nearest("pytorch", formats), None);
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
