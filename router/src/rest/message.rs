//! The message to the model in pieces: what describes the tensors, and each tensor's bytes as they are.

use api::inference::ModelInferRequest;
use bytes::{BufMut as _, BytesMut};
use prost::Message as _;

use crate::chunks::Chunks;

/// Tag of `raw_input_contents`: field 7, with a length before it.
const RAW: u8 = 7 << 3 | 2;
/// Longest tag and length.
const LONGEST_HEAD: usize = 11;
/// Tensors that are shorter are copied: that costs less than a piece of its own.
const SMALL: usize = 16 << 10;

/// Encodes a request. Fields may come in any order, and raw contents come last.
pub(super) fn chunks(mut request: ModelInferRequest) -> Chunks {
    let raw = std::mem::take(&mut request.raw_input_contents);
    let copied: usize = raw.iter().map(|raw| raw.len().min(SMALL) + LONGEST_HEAD).sum();
    let mut out = BytesMut::with_capacity(request.encoded_len() + copied);
    // A growing buffer has room for everything, so that this cannot fail.
    let _ = request.encode(&mut out);
    let mut message = Chunks::new();
    for raw in raw {
        out.put_u8(RAW);
        let _ = prost::encode_length_delimiter(raw.len(), &mut out);
        if raw.len() < SMALL {
            out.extend_from_slice(&raw);
        } else {
            message.push(out.split().freeze());
            message.push(raw);
        }
    }
    message.push(out.freeze());
    message
}

#[cfg(test)]
mod tests {
    use api::inference::model_infer_request::InferInputTensor;
    use bytes::Bytes;

    use super::*;

    #[test]
    fn pieces_are_the_message_and_large_tensors_are_not_copied() {
        for sizes in [&[][..], &[0], &[4], &[SMALL], &[4, 70_000, 8, SMALL, 3]] {
            let raw: Vec<Bytes> = sizes
                .iter()
                .map(|&size| Bytes::from(vec![u8::try_from(size % 251).unwrap_or(0); size]))
                .collect();
            let request = ModelInferRequest {
                model_name: "m".to_owned(),
                id: "7".to_owned(),
                inputs: vec![InferInputTensor {
                    name: "x".to_owned(),
                    ..InferInputTensor::default()
                }],
                raw_input_contents: raw.clone(),
                ..ModelInferRequest::default()
            };
            let message = chunks(request.clone());
            let parts: Vec<Bytes> = message.clone().into_iter().collect();
            for large in raw.iter().filter(|raw| raw.len() >= SMALL) {
                assert!(
                    parts.iter().any(|part| part.as_ptr() == large.as_ptr()),
                    "{sizes:?}"
                );
            }
            assert_eq!(
                ModelInferRequest::decode(message).as_ref(),
                Ok(&request),
                "{sizes:?}"
            );
        }
    }
}
