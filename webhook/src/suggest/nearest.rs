//! What was likely meant by a word that is not known.

/// Longer words are no typing errors, and comparing them would take long.
const LONGEST: usize = 64;

/// The candidate that is most like `word`, if one is near: another case, or one change for every three letters.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let lower = word.to_lowercase();
    let length = lower.chars().count();
    // Words of a letter or two are near to everything.
    let most = (length / 3).min(3);
    let near = |candidate: &'a str| {
        let distance = distance(&lower, &candidate.to_lowercase());
        (distance <= most && !candidate.is_empty()).then_some((distance, candidate))
    };
    candidates
        .into_iter()
        .filter_map(near)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, delete, replace, or swap with the next: the optimal string alignment distance.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    // Rows of the table for the prefixes of `left` that are two, one and no letters shorter.
    let mut before = vec![0; right.len() + 1];
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (i, &from) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &to) in right.iter().enumerate() {
            let mut best = (above[j] + usize::from(from != to))
                .min(above[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && from == right[j - 1] && left[i - 1] == to {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words() {
        let fields = ["storageUri", "storage", "runtime", "modelFormat", ""];
        for (word, meant) in [
            ("storageURI", Some("storageUri")),
            ("storageUir", Some("storageUri")),
            ("runtme", Some("runtime")),
            ("modelFromat", Some("modelFormat")),
            ("replicas", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, fields), meant, "{word}");
        }
    }

    #[test]
    fn distances() {
        for (left, right, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("ab", "ba", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
            assert_eq!(distance(right, left), expected, "{right} {left}");
        }
    }
}
