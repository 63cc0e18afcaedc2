//! Does a program print what a guide shows?

/// Numbers with a fraction may differ so much, relative above 1: processors round differently.
const TOLERANCE: f64 = 1e-4;

#[derive(Clone, Copy, Debug)]
enum Token {
    /// `...` in a guide: whatever comes here.
    Any,
    Fraction(f64),
    Char(char),
}

impl Token {
    fn is(self, other: Self) -> bool {
        match (self, other) {
            (Self::Fraction(a), Self::Fraction(b)) => (a - b).abs() <= TOLERANCE * b.abs().max(1.0),
            (Self::Char(a), Self::Char(b)) => a == b,
            _ => false,
        }
    }
}

/// Length of the number with a fraction or exponent that `text` starts with.
fn fraction(text: &str) -> Option<usize> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(text);
    let mut len = whole;
    if text[len..].starts_with('.') && digits(&text[len + 1..]) > 0 {
        len += 1 + digits(&text[len + 1..]);
    }
    if text[len..].starts_with("e-") && digits(&text[len + 2..]) > 0 {
        len += 2 + digits(&text[len + 2..]);
    }
    (whole > 0 && len > whole).then_some(len)
}

/// White space is left out: a guide may break lines where it likes.
fn tokens(text: &str, wildcards: bool) -> Vec<Token> {
    let mut rest = text.trim_start();
    let mut found = Vec::new();
    while let Some(first) = rest.chars().next() {
        let mut len = first.len_utf8();
        if wildcards && rest.starts_with("...") {
            len = 3;
            found.push(Token::Any);
        } else if let Some(number) = fraction(rest) {
            len = number;
            found.push(Token::Fraction(
                rest[..len].parse().expect("digits make a number"),
            ));
        } else {
            found.push(Token::Char(first));
        }
        rest = rest[len..].trim_start();
    }
    found
}

/// Whether `printed` is what the guide shows as `expected`.
pub(super) fn matches(expected: &str, printed: &str) -> bool {
    let (pattern, text) = (tokens(expected, true), tokens(printed, false));
    let (mut p, mut t) = (0, 0);
    // After the last `...`: where the pattern goes on, and how much text it has taken.
    let mut any = None;
    while t < text.len() {
        match (pattern.get(p), any) {
            (Some(Token::Any), _) => {
                p += 1;
                any = Some((p, t));
            }
            (Some(token), _) if token.is(text[t]) => {
                p += 1;
                t += 1;
            }
            (_, Some((after, taken))) => {
                p = after;
                t = taken + 1;
                any = Some((after, t));
            }
            (_, None) => return false,
        }
    }
    pattern[p..].iter().all(|token| matches!(token, Token::Any))
}

#[test]
fn answers() {
    for (expected, printed) in [
        ("a b", "ab\n"),
        ("{...}", "{\"x\": 1}"),
        ("a...b...c", "a1b b2c"),
        ("...", ""),
        ("[0.97448, 8.7e-7, 3]", "[0.9744862,8.732695e-7,3]"),
        ("24765.5", "24766.0"),
        ("iris@...", "iris@2f6258420edbeea4"),
    ] {
        assert!(matches(expected, printed), "{expected} {printed}");
    }
    for (expected, printed) in [
        ("a", "ab"),
        ("ab", "a"),
        ("", "a"),
        ("0.5", "0.6"),
        ("3", "4"),
        ("a...b", "ac"),
        ("1.5", "1"),
    ] {
        assert!(!matches(expected, printed), "{expected} {printed}");
    }
}
