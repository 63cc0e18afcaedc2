use super::*;

#[track_caller]
fn string(text: &str, expected: Result<&str, &str>) {
    let parsed = Cursor::new(text.as_bytes()).string();
    match (parsed, expected) {
        (Ok(parsed), Ok(expected)) => assert_eq!(parsed, expected, "{text}"),
        (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{text}: {error}"),
        (parsed, expected) => panic!("{text}: {parsed:?}, expected {expected:?}"),
    }
}

#[test]
fn strings() {
    string(r#""""#, Ok(""));
    string(r#""plain""#, Ok("plain"));
    string("\"\u{e9}\u{1f600}\"", Ok("\u{e9}\u{1f600}"));
    string(r#""a\"b\\c\/d\b\f\n\r\t""#, Ok("a\"b\\c/d\u{8}\u{c}\n\r\t"));
    string(r#""\u00e9\u0041""#, Ok("\u{e9}A"));
    string(r#""x\ud83d\uDE00y""#, Ok("x\u{1f600}y"));
    string(r#""\u0000""#, Ok("\0"));
}

#[test]
fn broken_strings() {
    string(r#""open"#, Err("does not end"));
    string(r#""open\"#, Err("does not end"));
    string("\"a\nb\"", Err("control characters"));
    string(r#""\x41""#, Err("unknown escape"));
    string(r#""\u00g1""#, Err("hexadecimal"));
    string(r#""\u00""#, Err("hexadecimal"));
    string(r#""\ud83d""#, Err("four hexadecimal digits are expected"));
    string(r#""\ud83dx""#, Err("four hexadecimal digits are expected"));
    string(r#""\ud83d\u0041""#, Err("followed by a low one"));
    string(r#""\ude00""#, Err("must follow a high one"));
    string("7", Err("a string is expected"));
}

#[test]
fn strings_must_be_utf8() {
    let error = Cursor::new(b"\"ab\xff\"").string().expect_err("not UTF-8");
    assert_eq!(
        error,
        SyntaxError {
            offset: 3,
            what: "the string is not UTF-8"
        }
    );
}

#[track_caller]
fn skip(text: &str, rest: Option<&str>) {
    let mut cursor = Cursor::new(text.as_bytes());
    let skipped = cursor.skip();
    match rest {
        Some(rest) => {
            skipped.unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(&text[cursor.at..], rest, "{text}");
        }
        None => assert!(skipped.is_err(), "{text}"),
    }
}

#[test]
fn skips_one_value() {
    skip("null,", Some(","));
    skip(" true]", Some("]"));
    skip("-1.5e3 ", Some(" "));
    skip(r#""a\"]b" ,"#, Some(" ,"));
    skip("[]x", Some("x"));
    skip(r#"{"a":[1,{"b":null},[]],"c":{}},1"#, Some(",1"));
    let deep = "[".repeat(64) + &"]".repeat(64);
    skip(&deep, Some(""));
}

#[test]
fn skips_nothing_broken() {
    for text in [
        "",
        "[1",
        "[1,]",
        "[1}",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1,}",
        "nul",
        "truee",
        "\"",
        "]",
    ] {
        skip(text, None);
    }
    skip("\"a\u{1}b\"", None);
    skip(r#"{"\x":1}"#, None);
    skip(&("[".repeat(65) + &"]".repeat(65)), None);
}

#[test]
fn nothing_follows_the_end() {
    let mut cursor = Cursor::new(b"1 x");
    cursor.number().expect("a number");
    assert_eq!(cursor.end().map_err(|error| error.offset), Err(2));
}
