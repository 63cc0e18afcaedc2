//! A pull parser over the bytes of a JSON text: no tree, no recursion on input, values that nobody wants are skipped.

use std::borrow::Cow;

use thiserror::Error;

use super::number::Number;

/// Deepest nesting of a value that is skipped. Known values are parsed by code whose depth is fixed.
const MAX_DEPTH: usize = 64;

/// What is wrong with the text, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("invalid JSON at byte {offset}: {what}")]
pub struct SyntaxError {
    /// Bytes before the offending one.
    pub offset: usize,
    /// The rule.
    pub what: &'static str,
}

/// A position in a JSON text.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Bytes that are left.
    pub(super) fn remaining(&self) -> usize {
        self.text.len().saturating_sub(self.at)
    }

    pub(super) fn error<T>(&self, what: &'static str) -> Result<T, SyntaxError> {
        Err(SyntaxError {
            offset: self.at,
            what,
        })
    }

    /// The next byte that is not white space, not consumed.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Consumes `byte` if it is next.
    #[inline]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), SyntaxError> {
        if self.eat(byte) { Ok(()) } else { self.error(what) }
    }

    /// Nothing but white space may follow.
    pub(super) fn end(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.error("nothing is expected after the value"),
        }
    }

    /// Calls `field` with each key; it consumes the value.
    pub(super) fn object<E: From<SyntaxError>>(
        &mut self,
        mut field: impl FnMut(&mut Self, &str) -> Result<(), E>,
    ) -> Result<(), E> {
        self.expect(b'{', "an object is expected")?;
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.expect(b':', "':' is expected after the key")?;
            field(self, &key)?;
            if self.eat(b'}') {
                return Ok(());
            }
            self.expect(b',', "',' or '}' is expected after a value of an object")?;
        }
    }

    /// Calls `element` for each element; it consumes the value.
    #[inline]
    pub(super) fn array<E: From<SyntaxError>>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.expect(b'[', "an array is expected")?;
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            element(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => self.error("',' or ']' is expected after an element of an array")?,
            }
        }
    }

    /// Consumes `null` if it is next.
    pub(super) fn null(&mut self) -> Result<bool, SyntaxError> {
        if self.peek() == Some(b'n') {
            self.literal(b"null").map(|()| true)
        } else {
            Ok(false)
        }
    }

    fn literal(&mut self, word: &'static [u8]) -> Result<(), SyntaxError> {
        match self.text.get(self.at..).and_then(|rest| rest.strip_prefix(word)) {
            Some(rest) if !rest.first().is_some_and(u8::is_ascii_alphanumeric) => {
                self.at += word.len();
                Ok(())
            }
            _ => self.error("this is not a JSON value"),
        }
    }

    pub(super) fn bool(&mut self) -> Result<bool, SyntaxError> {
        match self.peek() {
            Some(b't') => self.literal(b"true").map(|()| true),
            Some(b'f') => self.literal(b"false").map(|()| false),
            _ => self.error("true or false is expected"),
        }
    }

    #[allow(
        clippy::inline_always,
        reason = "a number that passes through memory costs as much as its digits"
    )]
    #[inline(always)]
    pub(super) fn number(&mut self) -> Result<Number<'a>, SyntaxError> {
        self.peek();
        let rest = self.text.get(self.at..).unwrap_or_default();
        match Number::scan(rest) {
            Ok(number) => {
                self.at += number.len();
                Ok(number)
            }
            Err(what) => self.error(what),
        }
    }

    /// A string; borrowed where it has no escapes.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, SyntaxError> {
        self.expect(b'"', "a string is expected")?;
        let plain = self.plain()?;
        if self.text.get(self.at) == Some(&b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        let mut out = String::from(plain);
        loop {
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(out));
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => out.push_str(self.plain()?),
                None => return self.error("the string does not end"),
            }
        }
    }

    /// The characters up to a quote or a backslash.
    fn plain(&mut self) -> Result<&'a str, SyntaxError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20);
        let Some(length) = length else {
            return self.error("the string does not end");
        };
        let (plain, after) = rest.split_at(length);
        let plain = match std::str::from_utf8(plain) {
            Ok(plain) => plain,
            Err(error) => {
                self.at += error.valid_up_to();
                return self.error("the string is not UTF-8");
            }
        };
        self.at += length;
        if after.first().is_some_and(|&byte| byte < 0x20) {
            return self.error("control characters in strings must be escaped");
        }
        Ok(plain)
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let Some(&kind) = self.text.get(self.at + 1) else {
            return self.error("the string does not end");
        };
        let plain = match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return self.error("unknown escape in a string"),
        };
        self.at += 2;
        Ok(plain)
    }

    /// `\uXXXX`, or two of them for a character outside of the basic plane.
    fn unicode_escape(&mut self) -> Result<char, SyntaxError> {
        let first = self.code_unit()?;
        let code = match first {
            0xd800..0xdc00 => {
                let second = self.code_unit()?;
                if !(0xdc00..0xe000).contains(&second) {
                    return self.error("a high surrogate must be followed by a low one");
                }
                0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            unit => unit,
        };
        char::from_u32(code).map_or_else(|| self.error("a low surrogate must follow a high one"), Ok)
    }

    fn code_unit(&mut self) -> Result<u32, SyntaxError> {
        let escape = self
            .text
            .get(self.at..)
            .and_then(|rest| rest.strip_prefix(b"\\u"));
        let Some(digits) = escape.and_then(|rest| rest.get(..4)) else {
            return self.error("\\u and four hexadecimal digits are expected");
        };
        let mut unit = 0;
        for &digit in digits {
            let Some(value) = char::from(digit).to_digit(16) else {
                return self.error("\\u must be followed by four hexadecimal digits");
            };
            unit = unit * 16 + value;
        }
        self.at += 6;
        Ok(unit)
    }

    /// Skips one value of any kind.
    pub(super) fn skip(&mut self) -> Result<(), SyntaxError> {
        // One bit per open bracket: is it an object?
        let mut open = 0_u64;
        let mut depth = 0;
        loop {
            // A value is expected here.
            match self.peek() {
                Some(bracket @ (b'[' | b'{')) => {
                    if depth == MAX_DEPTH {
                        return self.error("values are nested too deeply");
                    }
                    self.at += 1;
                    depth += 1;
                    open = open << 1 | u64::from(bracket == b'{');
                    if !self.eat(if bracket == b'{' { b'}' } else { b']' }) {
                        if bracket == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                    depth -= 1;
                    open >>= 1;
                }
                Some(b'"') => self.skip_string()?,
                Some(b't' | b'f') => {
                    self.bool()?;
                }
                Some(b'n') => self.literal(b"null")?,
                Some(_) => {
                    self.number()?;
                }
                None => return self.error("a value is expected"),
            }
            // A value ended here.
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let object = open & 1 == 1;
                if self.eat(b',') {
                    if object {
                        self.key()?;
                    }
                    break;
                }
                self.expect(
                    if object { b'}' } else { b']' },
                    "',' or the closing bracket is expected",
                )?;
                depth -= 1;
                open >>= 1;
            }
        }
    }

    fn key(&mut self) -> Result<(), SyntaxError> {
        if self.peek() != Some(b'"') {
            return self.error("a key in quotes is expected");
        }
        self.skip_string()?;
        self.expect(b':', "':' is expected after the key")
    }

    /// As strict as where the value is used: what is accepted here must be JSON elsewhere too.
    fn skip_string(&mut self) -> Result<(), SyntaxError> {
        self.string().map(drop)
    }
}

#[cfg(test)]
mod tests;
