//! A call that ends with a gRPC status instead of a response.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue};
use tonic::{Code, Status};

use crate::peer::Refusal;

/// Longest `grpc-message` in bytes as sent: with other metadata it must fit the 8 KiB that common clients take.
const LONGEST_MESSAGE: usize = 4 << 10;
/// Stands for what was left out of a longer one.
const GAP: &str = " ... ";

/// Code and text for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// gRPC status code.
    pub code: Code,
    /// Text that the client may see.
    pub message: String,
    /// The call was certainly not executed; for the router that forwarded it.
    pub refused: Option<Refusal>,
}

impl Failure {
    /// A failure with this code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            refused: None,
        }
    }

    /// The client's mistake.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// Headers of a trailers-only response.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        self.put(&mut headers);
        headers
    }

    /// Trailers after a response that had begun.
    pub fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::with_capacity(2);
        self.put(&mut trailers);
        trailers
    }

    fn put(&self, headers: &mut HeaderMap) {
        headers.insert("grpc-status", HeaderValue::from(self.code as i32));
        if !self.message.is_empty()
            && let Ok(message) = HeaderValue::from_str(&percent_encode(&shortened(&self.message)))
        {
            headers.insert("grpc-message", message);
        }
        if let Some(refused) = self.refused {
            headers.insert(
                api::names::headers::REFUSED,
                HeaderValue::from_static(refused.as_str()),
            );
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self {
            refused: Refusal::of_status(&status),
            ..Self::new(status.code(), status.message())
        }
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        Self::new(failure.code, failure.message)
    }
}

/// The code in `grpc-status`, when the map holds one.
pub fn code(headers: &HeaderMap) -> Option<Code> {
    headers
        .get("grpc-status")
        .map(|value| Code::from_bytes(value.as_bytes()))
}

/// The decoded `grpc-message`.
pub fn message(headers: &HeaderMap) -> String {
    headers
        .get("grpc-message")
        .map(|value| percent_decode(value.as_bytes()))
        .unwrap_or_default()
}

/// Beginning and end of a text that is too long: a stack trace says what happened in its last line.
fn shortened(text: &str) -> Cow<'_, str> {
    let encoded = |c: char| if is_plain(c) { 1 } else { 3 * c.len_utf8() };
    if text.chars().map(encoded).sum::<usize>() <= LONGEST_MESSAGE {
        return text.into();
    }
    let half = (LONGEST_MESSAGE - GAP.len()) / 2;
    let fits = |chars: &mut dyn Iterator<Item = char>| {
        let mut room = half;
        chars
            .map_while(|c| {
                room = room.checked_sub(encoded(c))?;
                Some(c.len_utf8())
            })
            .sum::<usize>()
    };
    let head = fits(&mut text.chars());
    let tail = text.len() - fits(&mut text.chars().rev());
    let part = |range: Option<&str>| range.unwrap_or_default().to_owned();
    (part(text.get(..head)) + GAP + &part(text.get(tail..))).into()
}

fn is_plain(c: char) -> bool {
    (' '..='~').contains(&c) && c != '%'
}

/// gRPC's percent encoding: printable ASCII but `%` stands for itself.
pub fn percent_encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(char::from(byte)) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Lenient: what is no valid escape stands for itself, what is no UTF-8 is replaced.
pub fn percent_decode(bytes: &[u8]) -> String {
    let hex = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        if *first == b'%'
            && let (Some(high), Some(low)) = (hex(tail.first()), hex(tail.get(1)))
            && let Ok(byte) = u8::try_from(high << 4 | low)
        {
            out.push(byte);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_encoding() {
        for text in ["plain", "50 % of µ\n", "日本", "%zz", ""] {
            assert_eq!(percent_decode(percent_encode(text).as_bytes()), text);
        }
        assert_eq!(percent_decode(b"%4"), "%4");
        assert_eq!(percent_decode(b"%FF"), "\u{fffd}");
    }

    #[test]
    fn long_texts_fit_the_header_lists_of_clients() {
        for (text, end) in [
            ("\u{e9}".repeat(10_000) + "cause", "cause"),
            ("%".repeat(1 << 20), "%"),
        ] {
            let headers = Failure::new(Code::Internal, format!("load failed: {text}")).headers();
            assert!(headers["grpc-message"].len() <= LONGEST_MESSAGE);
            let sent = message(&headers);
            assert!(sent.starts_with("load failed: ") && sent.ends_with(end), "{sent}");
            assert!(!sent.contains('\u{fffd}'), "cut between characters");
        }
        let text = "x".repeat(LONGEST_MESSAGE);
        assert_eq!(message(&Failure::new(Code::Internal, &*text).headers()), text);
    }

    #[test]
    fn headers_carry_code_and_text() {
        let failure = Failure::new(Code::NotFound, "model not found: \u{e9}");
        assert_eq!(code(&failure.headers()), Some(Code::NotFound));
        assert_eq!(message(&failure.headers()), "model not found: \u{e9}");
    }
}
