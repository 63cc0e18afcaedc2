//! What a person reads: the message of a denial, and warnings within the API server's bounds.

use crate::finding::Finding;

/// The API server cuts warnings to this when all of them together are longer than [`ALL_WARNINGS`]; in characters.
const WARNING: usize = 256;
/// What all warnings of a request may have together, in bytes.
const ALL_WARNINGS: usize = 4096;
/// Findings that a message lists; all of them are in `details.causes`.
const LISTED: usize = 20;

/// One finding in a line, or a list of them.
pub(super) fn denial(findings: &[&Finding]) -> String {
    match findings {
        [one] => one_line(one),
        many => {
            let listed = many.iter().take(LISTED).map(|finding| one_line(finding));
            let more = (many.len() > LISTED).then(|| format!("and {} more", many.len() - LISTED));
            let head = format!("{} problems:", many.len());
            let lines: Vec<_> = std::iter::once(head).chain(listed).chain(more).collect();
            lines.join("\n  * ")
        }
    }
}

/// Warnings as they fit. The last one says how many did not.
pub(super) fn warnings(findings: &[&Finding]) -> Vec<String> {
    let mut all = Vec::new();
    let mut left = ALL_WARNINGS - WARNING;
    for (position, finding) in findings.iter().enumerate() {
        let text = shorten(one_line(finding), finding.rule.id);
        let Some(rest) = left.checked_sub(text.len()) else {
            let more = findings.len() - position;
            all.push(format!(
                "and {more} more; `stowage-webhook check` lists all of them"
            ));
            break;
        };
        left = rest;
        all.push(text);
    }
    all
}

/// Without characters that a header or a terminal would stumble over.
fn one_line(finding: &Finding) -> String {
    finding
        .to_string()
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect()
}

/// A text that ends with `[RULE]`, with its middle left out: whoever reads it can still ask for the rule.
fn shorten(text: String, rule: &str) -> String {
    if text.chars().count() <= WARNING {
        return text;
    }
    let end = format!("... [{rule}]");
    let kept = WARNING.saturating_sub(end.chars().count());
    text.chars().take(kept).chain(end.chars()).collect()
}

#[cfg(test)]
mod tests {
    use crate::{
        finding::{FieldPath, Severity, Step},
        rules::RULES,
    };

    use super::*;

    fn finding(message: String) -> Finding {
        Finding {
            rule: RULES[0],
            severity: Severity::Warn,
            field: FieldPath(vec![Step::Key("spec".into())]),
            message,
            hint: None,
            suppressed: None,
            fingerprint: 0,
        }
    }

    #[test]
    fn a_denial_is_a_line_or_a_list() {
        let one = finding("is wrong".into());
        assert_eq!(denial(&[&one]), format!("spec: is wrong [{}]", RULES[0].id));
        let text = denial(&[&one; 25]);
        assert!(text.starts_with("25 problems:\n  * spec: is wrong"), "{text}");
        assert!(text.ends_with("\n  * and 5 more"), "{text}");
        assert_eq!(text.lines().count(), 22);
    }

    #[test]
    fn warnings_keep_the_bounds() {
        let long = finding("ä".repeat(300));
        let texts = warnings(&[&long; 100]);
        assert!(texts.iter().all(|text| text.chars().count() <= WARNING));
        assert!(texts.iter().map(String::len).sum::<usize>() <= ALL_WARNINGS);
        assert!(texts.last().unwrap().starts_with("and "), "{texts:?}");
        let rule = format!("... [{}]", RULES[0].id);
        assert!(texts[0].ends_with(&rule), "{}", texts[0]);
        assert_eq!(
            warnings(&[&finding("a\nb".into())])[0],
            format!("spec: a b [{}]", RULES[0].id)
        );
    }
}
