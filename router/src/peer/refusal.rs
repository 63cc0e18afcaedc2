//! Why a router did not take a call from another one: the call was certainly not executed, and may go elsewhere.

use std::fmt;

use api::names::headers;
use http::HeaderMap;
use tonic::{Code, Status, metadata::MetadataValue};

/// The word in `stowage-refused`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// There is no copy here, and the call may not load one.
    NotHere,
    /// The copy is not loaded yet.
    Loading,
    /// A load would push out what is worth more.
    NoRoom,
    /// The copy, or the model server behind it, has as much to do as it takes.
    Overloaded,
    /// The load failed here.
    Failed,
    /// Nobody registered the model, as far as this router knows.
    Unknown,
    /// The router is about to end.
    Draining,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NotHere,
        Self::Loading,
        Self::NoRoom,
        Self::Overloaded,
        Self::Failed,
        Self::Unknown,
        Self::Draining,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotHere => "not-here",
            Self::Loading => "loading",
            Self::NoRoom => "no-room",
            Self::Overloaded => "overloaded",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Draining => "draining",
        }
    }

    /// The meaning of a word; `None` for one of a newer router, which still means that the call was not executed.
    pub fn parse(word: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|refusal| refusal.as_str().as_bytes() == word)
    }

    /// The refusal in a response.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        // What this router does not know yet is refused all the same.
        headers
            .get(headers::REFUSED)
            .map(|word| Self::parse(word.as_bytes()).unwrap_or(Self::NotHere))
    }

    /// A status that says so, for [`crate::mesh::hop::Routes`] to answer a hop with.
    pub fn status(self, text: impl Into<String>) -> Status {
        self.status_as(Code::Unavailable, text)
    }

    /// The same with the code that the client gets where no other router takes the call.
    pub fn status_as(self, code: Code, text: impl Into<String>) -> Status {
        let mut status = Status::new(code, text);
        status
            .metadata_mut()
            .insert(headers::REFUSED, MetadataValue::from_static(self.as_str()));
        status
    }

    /// The refusal in a status that [`Refusal::status`] made.
    pub fn of_status(status: &Status) -> Option<Self> {
        let word = status.metadata().get(headers::REFUSED)?;
        Self::parse(word.as_encoded_bytes())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn words_on_the_wire() {
        let words = Refusal::ALL.map(Refusal::as_str);
        assert_eq!(
            words,
            [
                "not-here",
                "loading",
                "no-room",
                "overloaded",
                "failed",
                "unknown",
                "draining"
            ]
        );
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::parse(refusal.as_str().as_bytes()), Some(refusal));
            let status = refusal.status("text");
            assert_eq!((status.code(), status.message()), (Code::Unavailable, "text"));
            assert_eq!(Refusal::of_status(&status), Some(refusal));
        }
        assert_eq!(Refusal::of_status(&Status::unavailable("text")), None);
    }

    #[test]
    fn a_word_of_a_newer_router_is_a_refusal() {
        let mut headers = HeaderMap::new();
        assert_eq!(Refusal::of(&headers), None);
        headers.insert(headers::REFUSED, HeaderValue::from_static("on-holiday"));
        assert_eq!(Refusal::of(&headers), Some(Refusal::NotHere));
    }
}
