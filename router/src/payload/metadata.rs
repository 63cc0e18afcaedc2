//! Which metadata of a call goes along with its payload.

use http::HeaderMap;

/// `STOWAGE_PAYLOAD_METADATA`.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetadataRule {
    /// Everything but what usually is a credential.
    #[default]
    Safe,
    /// Everything, credentials too, as upstream.
    All,
    /// Nothing.
    None,
}

/// Parts of names that are credentials' in practice.
const SECRET: [&str; 9] = [
    "authorization",
    "cookie",
    "token",
    "secret",
    "password",
    "passwd",
    "credential",
    "api-key",
    "apikey",
];
/// Entries and bytes that one event carries: what HTTP/2 lets in is bounded too, this is for the queue.
const MAX_ENTRIES: usize = 128;

impl MetadataRule {
    pub(super) fn select(self, headers: &HeaderMap) -> Vec<(String, String)> {
        let wanted = |name: &str| match self {
            Self::All => true,
            Self::None => false,
            Self::Safe => !SECRET.iter().any(|part| name.contains(part)),
        };
        headers
            .iter()
            .filter(|(name, _)| wanted(name.as_str()))
            .take(MAX_ENTRIES)
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn credentials_stay_here() {
        let names = [
            "x-color",
            "authorization",
            "proxy-authorization",
            "cookie",
            "x-auth-token",
            "x-api-key",
            "client-secret",
        ];
        let headers: HeaderMap = names
            .iter()
            .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("value")))
            .collect();
        let safe = MetadataRule::Safe.select(&headers);
        assert_eq!(safe, [("x-color".to_owned(), "value".to_owned())]);
        assert_eq!(MetadataRule::All.select(&headers).len(), names.len());
        assert_eq!(MetadataRule::None.select(&headers), []);
    }
}
