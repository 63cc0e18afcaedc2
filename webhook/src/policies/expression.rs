//! CEL expressions of rules: the variables that they need, and the same question about the stored object.

use crate::rules::cel::VARIABLES;

/// What a variable of the stored object is called.
const OLD: &str = "old_";

/// The expression, true as well when the stored object breaks the rule.
pub(super) fn ratcheted(expression: &str) -> String {
    format!(
        "({expression}) || (oldObject != null && !({}))",
        about_old(expression)
    )
}

/// The same expression about the stored object.
fn about_old(expression: &str) -> String {
    let mut out = String::with_capacity(expression.len() + 16);
    let mut before = "";
    for token in tokens(expression) {
        match token {
            "object" if before != "." => out.push_str("oldObject"),
            name if before == "." && out.ends_with("variables.") => {
                out.push_str(OLD);
                out.push_str(name);
            }
            other => out.push_str(other),
        }
        before = token;
    }
    out
}

/// The variables that an expression uses, and those that these use, each after what it needs.
pub(super) fn variables(expression: &str) -> Vec<(String, String)> {
    let all = VARIABLES.iter().flat_map(|(name, value)| {
        [
            ((*name).to_owned(), (*value).to_owned()),
            (format!("{OLD}{name}"), about_old(value)),
        ]
    });
    let all: Vec<(String, String)> = all.collect();
    let mut wanted = vec![false; all.len()];
    // Later ones use only earlier ones, so one pass from the end finds all.
    for index in (0..all.len()).rev() {
        let Some((name, _)) = all.get(index) else { continue };
        let by_expression = uses(expression, name);
        let by_later = all
            .iter()
            .zip(&wanted)
            .skip(index + 1)
            .any(|((_, value), wanted)| *wanted && uses(value, name));
        if let Some(slot) = wanted.get_mut(index) {
            *slot = by_expression || by_later;
        }
    }
    all.into_iter()
        .zip(wanted)
        .filter_map(|(variable, wanted)| wanted.then_some(variable))
        .collect()
}

fn uses(expression: &str, name: &str) -> bool {
    let mut last = ["", ""];
    for token in tokens(expression) {
        if last == ["variables", "."] && token == name {
            return true;
        }
        last = [last[1], token];
    }
    false
}

/// Names, texts in quotes, and everything else letter by letter.
fn tokens(expression: &str) -> impl Iterator<Item = &str> {
    let mut rest = expression;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let length = if first.is_ascii_alphanumeric() || first == '_' {
            rest.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
                .unwrap_or(rest.len())
        } else if matches!(first, '\'' | '"') {
            let mut escaped = false;
            let end = rest.char_indices().skip(1).find(|(_, letter)| {
                let ends = *letter == first && !escaped;
                escaped = *letter == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |(place, letter)| place + letter.len_utf8())
        } else {
            first.len_utf8()
        };
        let (token, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(token)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_members_are_left_alone() {
        assert_eq!(
            about_old("has(object.spec) && x.object == 'object\\' variables.spec' && variables.spec.y"),
            "has(oldObject.spec) && x.object == 'object\\' variables.spec' && variables.old_spec.y"
        );
    }

    #[test]
    fn what_the_stored_object_breaks_too_passes() {
        assert_eq!(
            ratcheted("variables.spec.x"),
            "(variables.spec.x) || (oldObject != null && !(variables.old_spec.x))"
        );
    }

    #[test]
    fn variables_bring_what_they_need_in_order() {
        let names = |expression: &str| {
            variables(expression)
                .into_iter()
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names("variables.blocks.size() > 0"),
            ["spec", "predictor", "frameworks", "blocks"]
        );
        assert_eq!(names("variables.old_predictor.x"), ["old_spec", "old_predictor"]);
        assert_eq!(names("'variables.spec'"), Vec::<String>::new());
    }
}
