//! Headers of a call between routers. The rest of it is the client's: method, metadata, and message bytes.

use api::names::headers;
use base64::prelude::*;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{InstanceId, Ix};
use crate::{
    failure::Failure,
    mesh::hop::{Hop, Mode, Origin},
    model::ModelId,
    request::IdHeaders,
};

const HOP: HeaderName = HeaderName::from_static(headers::HOP);
const FROM: HeaderName = HeaderName::from_static(headers::FROM);
const EXCLUDE: HeaderName = HeaderName::from_static(headers::EXCLUDE);
const NAME: HeaderName = HeaderName::from_static(headers::NAME);

/// Instances that one call says to leave out; a call has no more attempts than that.
pub(crate) const MAX_EXCLUDED: usize = 8;

/// What a router adds to a call that it forwards.
#[derive(Debug)]
pub(crate) struct HopHeaders<'a> {
    pub(crate) mode: Mode,
    pub(crate) model: &'a ModelId,
    pub(crate) from: &'a InstanceId,
    pub(crate) tried: &'a [InstanceId],
    /// What the client called the model, where that was another name.
    pub(crate) name: Option<&'a str>,
}

impl HopHeaders<'_> {
    /// Adds them to headers of which [`strip`](crate::request::strip) has taken what is a router's own.
    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        IdHeaders::of(self.model).put_binary(headers);
        headers.insert(HOP, HeaderValue::from_static(self.mode.as_str()));
        if let Ok(from) = HeaderValue::from_str(self.from) {
            headers.insert(FROM, from);
        }
        if !self.tried.is_empty() {
            let ids: Vec<&str> = self.tried.iter().map(InstanceId::as_str).collect();
            if let Ok(ids) = HeaderValue::from_str(&ids.join(",")) {
                headers.insert(EXCLUDE, ids);
            }
        }
        if let Some(name) = self.name
            && let Ok(name) = HeaderValue::from_str(&BASE64_STANDARD_NO_PAD.encode(name))
        {
            headers.insert(NAME, name);
        }
    }
}

/// What another router says of a call that it forwards.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Forwarded {
    pub(crate) hop: Hop,
    /// What the client called the model, where that was another name.
    pub(crate) name: Option<String>,
}

/// Reads what [`HopHeaders::put`] wrote. `number` knows the instances of the mesh; others are as good as gone.
pub(crate) fn read(headers: &HeaderMap, number: impl Fn(&str) -> Option<Ix>) -> Result<Forwarded, Failure> {
    let Some(mode) = headers.get(HOP) else {
        return Err(Failure::new(
            tonic::Code::PermissionDenied,
            "this port is for routers of the mesh; clients call the gRPC port, 8033 by default",
        ));
    };
    let origin = match Mode::parse(mode.as_bytes()) {
        Some(Mode::Hit) => Origin::Hit,
        Some(Mode::Load) => Origin::Load,
        None => return Err(Failure::invalid("stowage-hop must be \"hit\" or \"load\"")),
    };
    let from = headers
        .get(FROM)
        .ok_or_else(|| Failure::invalid("stowage-from must name the router that forwards the call"))?;
    let from = text(from).and_then(&number);
    let tried = match headers.get(EXCLUDE) {
        None => Vec::new(),
        Some(ids) => text(ids)
            .unwrap_or_default()
            .split(',')
            .take(MAX_EXCLUDED)
            .filter_map(&number)
            .collect(),
    };
    let name = match headers.get(NAME) {
        None => None,
        Some(name) => Some(
            BASE64_STANDARD_NO_PAD
                .decode(name.as_bytes())
                .ok()
                .and_then(|name| String::from_utf8(name).ok())
                .filter(|name| name.len() <= ModelId::MAX_LEN)
                .ok_or_else(|| Failure::invalid("stowage-name is not a name in base64"))?,
        ),
    };
    Ok(Forwarded {
        hop: Hop {
            origin,
            tried,
            from,
            ..Hop::default()
        },
        name,
    })
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(id: &str) -> Option<Ix> {
        ["pod-a", "pod-b", "pod-c"]
            .iter()
            .position(|known| *known == id)
            .and_then(|ix| Ix::try_from(ix).ok())
    }

    /// Name and value of each header, sorted.
    fn lines(headers: &HeaderMap) -> Vec<String> {
        let mut lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn golden_headers() {
        let model = ModelId::from("caf\u{e9}");
        let from = InstanceId::from("pod-a");
        let mut headers = HeaderMap::new();
        HopHeaders {
            mode: Mode::Hit,
            model: &model,
            from: &from,
            tried: &[],
            name: None,
        }
        .put(&mut headers);
        assert_eq!(
            lines(&headers),
            [
                "mm-model-id-bin: Y2Fmw6k",
                "stowage-from: pod-a",
                "stowage-hop: hit"
            ]
        );
        let tried = [InstanceId::from("pod-b"), InstanceId::from("pod-c")];
        HopHeaders {
            mode: Mode::Load,
            model: &model,
            from: &from,
            tried: &tried,
            name: Some("menu"),
        }
        .put(&mut headers);
        assert_eq!(
            lines(&headers),
            [
                "mm-model-id-bin: Y2Fmw6k",
                "stowage-exclude: pod-b,pod-c",
                "stowage-from: pod-a",
                "stowage-hop: load",
                "stowage-name: bWVudQ",
            ]
        );
        let read = read(&headers, number).unwrap();
        assert_eq!(read.hop.origin, Origin::Load);
        assert_eq!((read.hop.from, &*read.hop.tried), (Some(0), &[1, 2][..]));
        assert_eq!(read.name.as_deref(), Some("menu"));
    }

    #[test]
    fn what_no_router_sends_is_refused() {
        let error = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            read(&headers, number).unwrap_err()
        };
        let failure = error(&[("mm-model-id", "a")]);
        assert_eq!(failure.code, tonic::Code::PermissionDenied);
        assert!(failure.message.contains("8033"), "{}", failure.message);
        assert!(error(&[("stowage-hop", "far")]).message.contains("stowage-hop"));
        assert!(error(&[("stowage-hop", "hit")]).message.contains("stowage-from"));
        let bad_name = [
            ("stowage-hop", "hit"),
            ("stowage-from", "x"),
            ("stowage-name", "*"),
        ];
        assert!(error(&bad_name).message.contains("stowage-name"));
    }

    #[test]
    fn strangers_and_crowds_are_left_out() {
        let mut headers = HeaderMap::new();
        headers.insert(HOP, HeaderValue::from_static("hit"));
        headers.insert(FROM, HeaderValue::from_static("pod-z"));
        let crowd = ["pod-z", "pod-c"].join(",") + &",pod-a".repeat(1_000);
        headers.insert(EXCLUDE, HeaderValue::from_str(&crowd).unwrap());
        let read = read(&headers, number).unwrap();
        assert_eq!(read.hop.from, None);
        assert_eq!(read.hop.tried, [2, 0, 0, 0, 0, 0, 0]);
    }
}
