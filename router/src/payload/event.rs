//! The JSON that processors get: upstream's, with `vModelId` filled in.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Serialize;

use super::tap::Job;
use crate::wire::framing::PREFIX;

/// One message.
#[derive(Debug, Serialize)]
pub(super) struct Event<'a> {
    /// The same for all messages of a call.
    id: String,
    modelid: &'a str,
    #[serde(rename = "vModelId")]
    vmodel_id: Option<&'a str>,
    method: &'a str,
    /// The message in base64.
    data: String,
    pub(super) kind: &'static str,
    /// Empty for requests, else the code's name.
    status: &'static str,
    metadata: BTreeMap<&'a str, &'a str>,
    #[serde(skip)]
    pub(super) bytes: usize,
}

/// The messages of a call, requests first. A response without a message still has an event, for its status.
pub(super) fn events(job: &Job) -> impl Iterator<Item = Event<'_>> {
    let event = |kind, status, message: &[u8]| Event {
        id: job.id.to_string(),
        modelid: &job.ended.model,
        vmodel_id: job.ended.vmodel.as_deref(),
        method: &job.method,
        data: BASE64_STANDARD.encode(message),
        kind,
        status,
        metadata: if kind == "request" {
            job.metadata
                .iter()
                .map(|(name, value)| (&**name, &**value))
                .collect()
        } else {
            BTreeMap::new()
        },
        bytes: message.len(),
    };
    let status = kit::status::name(job.ended.code);
    let responses = messages(job.response.bytes());
    let none = responses.is_empty().then_some(&[][..]);
    messages(job.request.bytes())
        .into_iter()
        .map(move |message| event("request", "", message))
        .chain(
            responses
                .into_iter()
                .chain(none)
                .map(move |message| event("response", status, message)),
        )
}

/// Whole messages; a last one that was cut off is left out.
fn messages(mut framed: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let Some((head, rest)) = framed.split_first_chunk::<PREFIX>() {
        let [_, a, b, c, d] = *head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some((message, rest)) = rest.split_at_checked(length) else {
            break;
        };
        messages.push(message);
        framed = rest;
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_stream() {
        let framed = [
            &[0, 0, 0, 0, 2][..],
            b"ab",
            &[1, 0, 0, 0, 0],
            &[0, 0, 0, 0, 9],
            b"cut",
        ]
        .concat();
        assert_eq!(messages(&framed), [&b"ab"[..], b""]);
        assert!(messages(&[0, 0]).is_empty());
    }
}
